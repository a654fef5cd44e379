"""One run on the session's server with something of everything that the schema knows, worked out by hand."""

from collections.abc import Iterator

import pandas as pd
import pytest

from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.retention import RetentionPlan, RetentionRules
from attrgraph_core.targeting.neuron_set import NeuronSet
from tests.worked_graph import EDGES, Edge, make_graph

RUN = "query-tests"

# The same neurons a stage earlier: fc1/0 gave 2 and not 6, fc1/1 gave 3 and not 2, input/1 gave 1 and not 5.
EARLIER_EDGES = [
    ("input", 0, "fc1", 0, 2.0, 3.0),
    ("input", 1, "fc1", 1, -1.0, 1.0),
    ("fc1", 0, "fc2", 0, 1.0, 2.0),
    ("fc1", 1, "fc2", 0, -3.0, 3.0),
]

# A run of two stages with graphs of classes, and another run that it is matched with. fc1/2 does nothing.
HISTORY, OTHER = "query-history", "query-history-other"
HISTORY_NEURONS = [
    ("input", 0, "input", 1.0, 1.0),
    ("input", 1, "input", 1.0, 1.0),
    ("fc1", 0, "unit", 3.0, 3.0),
    ("fc1", 1, "unit", -2.0, 2.0),
    ("fc1", 2, "unit", 0.0, 0.0),
    ("fc2", 0, "output", 1.0, 3.0),
    ("fc2", 1, "output", 1.0, 1.0),
]
EVIDENCE = {
    "ablation": "mean", "sample_count": 16, "part_count": 3, "size": 0.04, "faithfulness": 0.9,
    "faithfulness_low": 0.85, "faithfulness_high": 0.95, "completeness": 0.6, "minimality": 1.0,
    "random_faithfulness": 0.1, "random_deviation": 0.05, "random_draws": 5, "curve": [0.5, 1.0],
    "cpr": 0.8, "cmd": 0.2, "edge_correlation": 0.7, "edge_rank_correlation": 0.75, "sample_stability": 0.5,
    "seed_stability": 0.25,
}  # fmt: skip
SHORT = {"i": "input", "f": "fc1", "o": "fc2"}
BEGINNING = "i0f0 1, i1f1 -1, f0o0 1, f1o1 1"
MIDDLE = "i0f0 2, i1f0 2, f0o0 4, i1f1 -1, i0f1 1, f1o1 1"
END = "i0f0 3, i1f0 1, f0o0 4, i1f1 -4, f1o0 -2, f1o1 2"
TWINS = "i0f0 1, i0f1 1, i1f1 0.5, i1f0 0.5, f0o0 2, f1o0 2"


def short_edges(text: str) -> list[Edge]:
    """`i0f1 -2` is an edge from input/0 to fc1/1 of weight -2 and absolute weight 2."""
    parts = [part.split() for part in text.split(", ")]
    return [
        (SHORT[ends[0]], int(ends[1]), SHORT[ends[2]], int(ends[3]), float(weight), abs(float(weight)))
        for ends, weight in parts
    ]


@pytest.fixture(scope="session")
def store(neo4j_connection: Connection) -> Iterator[GraphStore]:
    """The store with run RUN: two stages, and graphs that no query may meet."""
    with GraphStore.open(neo4j_connection) as store:
        if len(store.graphs(RUN)):
            store.delete_run(RUN)  # a server of the environment may keep it from a session cut short
        store.save_run(
            RUN, "query_tests", seed=0, config_hash="c", code_version="v", configuration={"a": 1}, dagster_run_id="d"
        )
        store.annotate_run(RUN, name="query tests", tags=["tests"], note="by hand")
        store.save_stage(RUN, 1, "full", trained_neurons=3, seconds=1.0, dagster_run_id="d")
        store.save_stage(RUN, 2, "targeted")
        whole = {"run_id": RUN, "edge_mass": 1.0, "loss": 0.5, "accuracy": 0.75}
        store.save(make_graph(EDGES), stage=1, epoch=0, **whole)
        store.save(make_graph(EARLIER_EDGES), stage=1, epoch=1, **whole)
        store.save(make_graph(EDGES, "class:1"), stage=1, epoch=2, imported_from="class_1.graphml", **whole)
        store.save(make_graph(EDGES), stage=2, epoch=1, **whole)
        unfinished = store.save(make_graph(EDGES), stage=1, epoch=3, **whole)
        store.run_cypher(
            "MATCH (graph:AttributionGraph {graph_id: $id}) SET graph.status = 'writing', graph.writer = 'gone'",
            {"id": unfinished.graph_id},
            read_only=False,
        )
        store.save(make_graph(EDGES), stage=1, epoch=4, **whole)
        plan = store.plan_retention(RetentionRules(last=10), [RUN])
        store.prune(
            RetentionPlan(plan.graphs.assign(kept_for=plan.graphs["epoch"].map(lambda e: "" if e == 4 else "x")))
        )
        graph_id = f"{RUN}/stage_1/epoch_1/deeplift/label"
        table = store.query("neuron_influence", graph_id=graph_id)
        circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
        chosen = NeuronSet({"fc1": (0,)}, "top_influence", 0.5)
        store.save_training(RUN, 2, store.save_neuron_set([circuit_id], chosen, run_id=RUN))
        store.finish_run(RUN, "complete")
        yield store
        store.delete_run(RUN)


@pytest.fixture(scope="session")
def history(store: GraphStore) -> Iterator[dict[str, str]]:
    """Runs HISTORY and OTHER, of one experiment; ids of what was made: the circuits `found` and `chosen`."""
    for run in (HISTORY, OTHER):
        if len(store.graphs(run)):
            store.delete_run(run)

    def save(text: str, stage: int, epoch: int, run: str = HISTORY, accuracy: float = 0.5, **about: str) -> str:
        neurons = HISTORY_NEURONS
        if about.get("method") == "gradient_times_activation":
            neurons = [(*row[:4], 1.0 if row[:2] == ("fc1", 0) else row[4]) for row in HISTORY_NEURONS]
        graph = make_graph(short_edges(text), neurons=neurons, **about)
        return store.save(graph, run_id=run, stage=stage, epoch=epoch, edge_mass=1.0, accuracy=accuracy).graph_id

    for run, seed in ((HISTORY, 0), (OTHER, 1)):
        store.save_run(run, "query_history", seed=seed, config_hash="c", code_version="v")
    store.save_stage(HISTORY, 1, "full", trained_weights=2000)
    store.save_stage(HISTORY, 2, "targeted", trained_weights=500)
    save(BEGINNING, 1, 0, accuracy=0.25)
    save("i0f0 1, f0o0 1", 1, 0, accuracy=0.25, target="class:0")
    save("i1f1 1, f1o1 1", 1, 0, accuracy=0.25, target="class:1")
    middle = save(MIDDLE, 1, 1, accuracy=0.75)
    save(END, 2, 1, accuracy=0.8)
    save("i0f0 3, f0o0 3, i1f1 -1, f1o0 -1", 2, 1, accuracy=0.8, target="class:0")
    save("i1f1 4, f1o1 4", 2, 1, accuracy=0.8, target="class:1")
    save(END, 2, 1, accuracy=0.8, method="gradient_times_activation")
    save(TWINS, 2, 1, accuracy=0.8, method="lrp_epsilon")
    save("i0f1 2, i1f1 2, f1o0 4, i1f0 -4, f0o1 4", 1, 1, run=OTHER)

    found = pd.DataFrame({"layer": ["input", "input", "fc1"], "index": [0, 1, 0]})
    found_in_other = pd.DataFrame({"layer": ["input", "fc1", "fc1"], "index": [0, 1, 2]})
    ids = {"found": store.save_circuit(middle, "top_influential_neurons", {"top_k": 3}, found)}
    store.save_evidence(ids["found"], EVIDENCE)
    of_other = f"{OTHER}/stage_1/epoch_1/deeplift/label"
    ids["found_in_other"] = store.save_circuit(of_other, "top_influential_neurons", {"top_k": 3}, found_in_other)
    store.save_evidence(ids["found_in_other"], EVIDENCE | {"faithfulness": 0.7, "size": 0.02})
    table = store.query("neuron_influence", graph_id=middle)
    ids["chosen"] = store.save_circuit(middle, "neuron_influence", {}, table)
    chosen = NeuronSet({"fc1": (0,)}, "top_influence", 0.25)
    ids["neuron_set"] = store.save_neuron_set([ids["chosen"]], chosen, run_id=HISTORY)
    store.save_training(HISTORY, 2, ids["neuron_set"])
    matches = pd.DataFrame(
        [("fc1", 0, 1, 0.9), ("fc1", 1, 0, 0.8), ("fc1", 2, 2, 0.0)],
        columns=["layer", "index", "other_index", "correlation"],
    )
    store.save_matches(HISTORY, OTHER, matches)
    yield ids
    for run in (HISTORY, OTHER):
        store.delete_run(run)
