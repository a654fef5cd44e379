"""One run on the session's server with something of everything that the schema knows, worked out by hand."""

from collections.abc import Iterator

import pandas as pd
import pytest

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.targeting.neuron_set import NeuronSet

RUN = "query-tests"

# layer, index, kind, attribution, abs_attribution
NEURONS = [
    ("input", 0, "input", 2.0, 3.0),
    ("input", 1, "input", -5.0, 5.0),
    ("fc1", 0, "unit", 1.0, 4.0),
    ("fc1", 1, "unit", -2.0, 2.0),
    ("fc2", 0, "output", -1.0, 3.0),
]
# source, target, weight, abs_weight. Into fc1/0 flow 4, into fc1/1 4, into fc2/0 8.
EDGES = [
    ("input", 0, "fc1", 0, 2.0, 3.0),
    ("input", 1, "fc1", 0, -1.0, 1.0),
    ("input", 1, "fc1", 1, -4.0, 4.0),
    ("fc1", 0, "fc2", 0, 1.0, 6.0),
    ("fc1", 1, "fc2", 0, -2.0, 2.0),
]
# The same neurons a stage earlier: fc1/0 gave 2 and not 6, fc1/1 gave 3 and not 2, input/1 gave 1 and not 5.
EARLIER_EDGES = [
    ("input", 0, "fc1", 0, 2.0, 3.0),
    ("input", 1, "fc1", 1, -1.0, 1.0),
    ("fc1", 0, "fc2", 0, 1.0, 2.0),
    ("fc1", 1, "fc2", 0, -3.0, 3.0),
]


def make_graph(edges: list[tuple[str, int, str, int, float, float]], target: str = "label") -> AttributionGraph:
    return AttributionGraph(
        neurons=pd.DataFrame(NEURONS, columns=["layer", "index", "kind", "attribution", "abs_attribution"]),
        edges=pd.DataFrame(
            edges, columns=["source_layer", "source_index", "target_layer", "target_index", "weight", "abs_weight"]
        ),
        method="deeplift",
        target=target,
        baseline="zeros",
        sample_count=4,
        completeness_delta=0.0,
    )


@pytest.fixture(scope="session")
def store(neo4j_connection: Connection) -> Iterator[GraphStore]:
    """The store with run RUN: two stages, and graphs that no query may meet."""
    with GraphStore.open(neo4j_connection) as store:
        if len(store.graphs(RUN)):
            store.delete_run(RUN)  # a server of the environment may keep it from a session cut short
        store.save_run(RUN, "query_tests", seed=0, config_hash="c", code_version="v")
        store.save_stage(RUN, 1, "full")
        store.save_stage(RUN, 2, "targeted")
        whole = {"run_id": RUN, "edge_mass": 1.0, "loss": 0.5, "accuracy": 0.75}
        store.save(make_graph(EDGES), stage=1, epoch=0, **whole)
        store.save(make_graph(EARLIER_EDGES), stage=1, epoch=1, **whole)
        store.save(make_graph(EDGES, "class:1"), stage=1, epoch=2, **whole)
        store.save(make_graph(EDGES), stage=2, epoch=1, **whole)
        unfinished = store.save(make_graph(EDGES), stage=1, epoch=3, **whole)
        store.run_cypher(
            "MATCH (graph:AttributionGraph {graph_id: $id}) SET graph.status = 'writing', graph.writer = 'gone'",
            {"id": unfinished.graph_id},
            read_only=False,
        )
        graph_id = f"{RUN}/stage_1/epoch_1/deeplift/label"
        table = store.query("neuron_influence", graph_id=graph_id)
        circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
        chosen = NeuronSet({"fc1": (0,)}, "top_influence", 0.5)
        store.save_training(RUN, 2, store.save_neuron_set([circuit_id], chosen, run_id=RUN))
        store.finish_run(RUN, "complete")
        yield store
        store.delete_run(RUN)
