"""docs/graph-schema.md holds: its queries give rows worked out by hand, its properties are those that are stored.

The graph of the last epoch: input/0 -(2|3)-> fc1/0, input/1 -(-1|1)-> fc1/0, input/1 -(-4|4)-> fc1/1,
fc1/0 -(1|6)-> fc2/0, fc1/1 -(-2|2)-> fc2/0, as (weight|abs_weight).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.targeting.neuron_set import NeuronSet

pytestmark = pytest.mark.neo4j

PAGE = (Path(__file__).parents[2] / "docs" / "graph-schema.md").read_text(encoding="utf-8")
CHOSEN_BY, OVER_EPOCHS, NEW_EDGES, HEAVIEST_PATH, SHARED = re.findall(r"```cypher\n(.*?)```", PAGE, re.DOTALL)

RUN = "docs-tests"
NEURONS = [
    ("input", 0, "input", 2.0, 3.0),
    ("input", 1, "input", -5.0, 5.0),
    ("fc1", 0, "unit", 1.0, 4.0),
    ("fc1", 1, "unit", -2.0, 2.0),
    ("fc2", 0, "output", -1.0, 3.0),
]
FIRST = [("input", 0, "fc1", 0, 2.0, 3.0), ("fc1", 0, "fc2", 0, 1.0, 2.0)]
LAST = [
    ("input", 0, "fc1", 0, 2.0, 3.0),
    ("input", 1, "fc1", 0, -1.0, 1.0),
    ("input", 1, "fc1", 1, -4.0, 4.0),
    ("fc1", 0, "fc2", 0, 1.0, 6.0),
    ("fc1", 1, "fc2", 0, -2.0, 2.0),
]
CLASS_1 = [("input", 1, "fc1", 1, 1.0, 1.0), ("fc1", 0, "fc2", 0, 1.0, 1.0), ("fc1", 1, "fc2", 0, 5.0, 5.0)]


def make_graph(edges: list[tuple[str, int, str, int, float, float]], target: str) -> AttributionGraph:
    return AttributionGraph(
        neurons=pd.DataFrame(NEURONS, columns=["layer", "index", "kind", "attribution", "abs_attribution"]),
        edges=pd.DataFrame(
            edges, columns=["source_layer", "source_index", "target_layer", "target_index", "weight", "abs_weight"]
        ),
        method="deeplift",
        target=target,
        baseline="mean",
        sample_count=4,
        completeness_delta=0.0,
    )


@pytest.fixture(scope="module")
def store(neo4j_connection: Connection) -> Iterator[GraphStore]:
    """The store with run RUN: two epochs of stage 1, and a stage 2 that trains what was chosen from the last."""
    with GraphStore.open(neo4j_connection) as store:
        if len(store.run_cypher("MATCH (run:Run {run_id: $run_id}) RETURN run.run_id", {"run_id": RUN})):
            store.delete_run(RUN)  # a server of the environment may keep it from a session cut short
        store.save_run(RUN, "docs_tests", seed=0, config_hash="c", code_version="v")
        store.save_stage(RUN, 1, "full", trained_neurons=3, trained_weights=9, seconds=1.0)
        store.save_stage(RUN, 2, "targeted", trained_neurons=2, trained_weights=4, seconds=1.0)
        whole = {"run_id": RUN, "stage": 1, "edge_mass": 1.0, "loss": 0.5, "accuracy": 0.75}
        store.save(make_graph(FIRST, "label"), epoch=0, **whole)
        graph_id = store.save(make_graph(LAST, "label"), epoch=1, **whole).graph_id
        store.save(make_graph(LAST, "class:0"), epoch=1, **whole)
        store.save(make_graph(CLASS_1, "class:1"), epoch=1, **whole)
        table = store.query("neuron_influence", graph_id=graph_id)
        circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
        chosen = NeuronSet({"fc1": (0,), "fc2": (0,)}, "top_influence", 0.5)
        store.save_training(RUN, 2, store.save_neuron_set([circuit_id], chosen, run_id=RUN))
        store.finish_run(RUN, "complete")
        yield store
        store.delete_run(RUN)


@pytest.mark.parametrize(
    ("query", "parameters", "expected"),
    [
        (
            CHOSEN_BY,
            {"stage_id": f"{RUN}/stage_2"},
            [("neuron_influence", f"{RUN}/stage_1/epoch_1/deeplift/label", "top_influence", 0.5, 2)],
        ),
        (OVER_EPOCHS, {"run_id": RUN, "layer": "fc1", "index": 0}, [(1, 0, 2.0), (1, 1, 6.0)]),
        (
            NEW_EDGES,
            {"graph_id": f"{RUN}/stage_1/epoch_1/deeplift/label"},
            [
                ("input/1", "fc1/1", -4.0, 4.0),
                ("fc1/1", "fc2/0", -2.0, 2.0),
                ("input/1", "fc1/0", -1.0, 1.0),
            ],
        ),
        (
            HEAVIEST_PATH,
            {"graph_id": f"{RUN}/stage_1/epoch_1/deeplift/label", "output": 0},
            [(["input/0", "fc1/0", "fc2/0"], 3 / 4 * 6 / 8)],
        ),
        (
            SHARED,
            {"snapshot_id": f"{RUN}/stage_1/epoch_1", "first_target": "class:0", "second_target": "class:1"},
            [("fc1", 1, 2.0, 5.0), ("fc1", 0, 6.0, 1.0)],
        ),
    ],
    ids=["chosen_by", "over_epochs", "new_edges", "heaviest_path", "shared"],
)
def test_a_query_of_the_page_answers(store, query, parameters, expected):
    table = store.run_cypher(query, parameters)
    assert list(table.itertuples(index=False, name=None)) == expected


def test_the_page_lists_every_property_that_is_stored(store):
    listed = {
        label: set(re.findall(r"`(\w+)`", properties))
        for label, properties in re.findall(r"^\| `([A-Z]\w+)` \| (.*?) \|", PAGE, re.MULTILINE)
    }
    found = store.run_cypher(
        """
        MATCH (experiment:Experiment)-[:HAS_RUN]->(run:Run {run_id: $run_id})
        MATCH (run) (()-[:HAS_STAGE|HAS_SNAPSHOT|HAS_GRAPH|HAS_STATE|STATE_OF|TRAINS]->()){0,5} (held)
        WITH experiment, collect(DISTINCT held) AS held
        MATCH (circuit:Circuit)-[:FOUND_IN]->(graph:AttributionGraph) WHERE graph IN held
        WITH held, experiment, collect(DISTINCT circuit) AS circuits
        UNWIND held + circuits + [experiment] AS node
        UNWIND keys(node) AS name
        RETURN labels(node)[0] AS label, collect(DISTINCT name) AS names
        ORDER BY label
        """,
        {"run_id": RUN},
    )
    assert {row.label: set(row.names) for row in found.itertuples()} == listed


def test_the_page_shows_every_relationship_that_the_writer_makes():
    folder = Path(__file__).parents[2] / "cypher" / "ingest"
    made = {
        kind
        for path in folder.glob("*.cypher")
        for clause in re.findall(r"(?:MERGE|CREATE) (.*)", path.read_text(encoding="utf-8"))
        for kind in re.findall(r"-\[\w*:(\w+)", clause)
    } | {"STATE_OF"}  # on a line of its own in write_states
    drawn = set(re.findall(r"-\[:(\w+)", PAGE.split("```")[1]))
    assert made == drawn
