"""docs/graph.md holds: its queries give rows worked out by hand, its properties are those that are stored.

The graph of the last epoch: input/0 -(2|3)-> fc1/0, input/1 -(-1|1)-> fc1/0, input/1 -(-4|4)-> fc1/1,
fc1/0 -(1|6)-> fc2/0, fc1/1 -(-2|2)-> fc2/0, as (weight|abs_weight).
"""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from attrgraph_core.evidence.evidence import Evidence
from attrgraph_core.store import graph_schema
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.queries import CYPHER_FOLDER, load_query, query_names
from attrgraph_core.store.retention import RetentionPlan, RetentionRules
from attrgraph_core.targeting.neuron_set import NeuronSet
from tests.worked_graph import EDGES, make_graph

pytestmark = pytest.mark.neo4j

PAGE = (Path(__file__).parents[2] / "docs" / "graph.md").read_text(encoding="utf-8")
CHOSEN_BY, OVER_EPOCHS, NEW_EDGES, HEAVIEST_PATH, SHARED = re.findall(r"```cypher\n(.*?)```", PAGE, re.DOTALL)

RUN = "docs-tests"
FIRST = [("input", 0, "fc1", 0, 2.0, 3.0), ("fc1", 0, "fc2", 0, 1.0, 2.0)]
CLASS_1 = [("input", 1, "fc1", 1, 1.0, 1.0), ("fc1", 0, "fc2", 0, 1.0, 1.0), ("fc1", 1, "fc2", 0, 5.0, 5.0)]


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
        graph_id = store.save(make_graph(EDGES, "label"), epoch=1, **whole).graph_id
        store.save(make_graph(EDGES, "class:0"), epoch=1, **whole)
        store.save(make_graph(CLASS_1, "class:1"), epoch=1, **whole)
        table = store.query("neuron_influence", graph_id=graph_id)
        circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
        chosen = NeuronSet({"fc1": (0,), "fc2": (0,)}, "top_influence", 0.5, scoring_flops=8)
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


def test_the_page_is_generated_from_the_definition():
    assert graph_schema.generated() in PAGE, "run: python -m attrgraph_core.store.graph_schema docs/graph.md"


def test_every_status_that_a_query_gives_a_run_is_named():
    texts = [path.read_text(encoding="utf-8") for path in CYPHER_FOLDER.rglob("*.cypher")]
    given = {status for text in texts for status in re.findall(r"SET .*run\.status = '(\w+)'", text)}
    assert given >= {"deleting", "importing", "unknown"}
    assert {status for status in given if f"`{status}`" not in graph_schema.NODES["Run"].meaning} == set()


def test_the_queries_that_compare_runs_are_named_where_stores_are_parted():
    """Those that go by what two runs share: an experiment, or matches of their neurons."""
    part = PAGE.partition("*Shard by")[2].partition("*The offline importer*")[0]
    crossing = {name for name in query_names() if re.search(r":Experiment\b|MATCHES", load_query(name).text)}
    assert set(re.findall(r"`(\w+)`", part)) == crossing


@pytest.fixture(scope="module")
def whole_store(store: GraphStore) -> Iterator[GraphStore]:
    """The run with everything that a definition may name: people's words, Dagster's, a pruned and an open graph."""
    store.save_run(RUN, "docs_tests", 0, "c", "v", configuration={"a": 1}, dagster_run_id="d")
    store.save_stage(RUN, 1, "full", dagster_run_id="d")
    store.annotate_run(RUN, name="docs", tags=["docs"], note="docs")
    store.finish_run(RUN, "complete")
    for epoch in (2, 3):
        store.save(make_graph(EDGES, "class:2"), run_id=RUN, stage=1, epoch=epoch, loss=0.5, accuracy=0.5)
    plan = store.plan_retention(RetentionRules(last=1), [RUN])
    going = plan.graphs["snapshot_id"] == f"{RUN}/stage_1/epoch_2"
    store.prune(RetentionPlan(plan.graphs.assign(kept_for=going.map({True: "", False: "test"}))))
    store.run_cypher(
        "MATCH (g:AttributionGraph {graph_id: $id}) SET g.status = 'writing', g.writer = 'w'",
        {"id": f"{RUN}/stage_1/epoch_3/deeplift/class:2"},
        read_only=False,
    )
    values = {str: "zero", int: 1, float: 0.5, tuple[float, ...]: [0.5]}
    measured = {field.name: values[field.type] for field in fields(Evidence)}
    (circuit_id,) = store.query("stored_circuits", run_id=RUN)["circuit_id"]
    store.save_evidence(circuit_id, measured | {"seed_stability": 0.5})
    other = f"{RUN}-other"
    store.save(make_graph(EDGES, "label"), run_id=other, stage=1, epoch=0, imported_from="graph.graphml")
    pairs = pd.DataFrame({"layer": ["fc1"], "index": [0], "other_index": [1], "correlation": [0.5]})
    store.save_matches(RUN, other, pairs)
    yield store
    store.delete_run(other)


def test_the_definition_is_what_the_server_has(whole_store):
    """Labels, properties, their types, and which of them all nodes have, as the server itself describes them."""
    found = whole_store.run_cypher(
        "CALL db.schema.nodeTypeProperties() YIELD nodeLabels, propertyName, propertyTypes "
        "WHERE nodeLabels[0] IN $labels RETURN nodeLabels[0] AS label, propertyName AS name, propertyTypes AS types",
        {"labels": list(graph_schema.NODES)},
    )
    types = {(row.label, row.name): row.types for row in found.itertuples()}
    defined = {
        (label, name): [p.type] for label, node in graph_schema.NODES.items() for name, p in node.properties.items()
    }
    assert types == defined
    edges = whole_store.run_cypher(
        "CALL db.schema.relTypeProperties() YIELD relType, propertyName, propertyTypes WHERE propertyName IS NOT NULL "
        "RETURN relType AS kind, propertyName AS name, propertyTypes AS types"
    )
    assert {(row.kind, row.name): row.types for row in edges.itertuples()} == {
        (f":`{kind}`", name): [known.type]
        for kind, properties in graph_schema.RELATIONSHIP_PROPERTIES.items()
        for name, known in properties.items()
    }
    ends = whole_store.run_cypher(
        "MATCH (a)-[r]->(b) WHERE labels(a)[0] IN $labels AND labels(b)[0] IN $labels "
        "RETURN DISTINCT labels(a)[0] AS source, type(r) AS kind, labels(b)[0] AS target",
        {"labels": list(graph_schema.NODES)},
    )
    assert set(ends.itertuples(index=False, name=None)) == {
        (r.source, r.kind, r.target) for r in graph_schema.RELATIONSHIPS
    }


def test_what_is_not_optional_all_nodes_of_the_run_have(whole_store):
    for label, node in graph_schema.NODES.items():
        for name, defined in node.properties.items():
            if not defined.is_optional and label in ("Run", "AttributionGraph", "NeuronState", "Neuron", "NeuronSet"):
                missing = whole_store.run_cypher(
                    f"MATCH (n:{label} {{run_id: $run_id}}) WHERE n.`{name}` IS NULL RETURN count(n) AS count"
                    if label != "NeuronState"
                    else f"MATCH (n:{label}) WHERE n.graph_id STARTS WITH $run_id AND n.`{name}` IS NULL "
                    "RETURN count(n) AS count",
                    {"run_id": RUN},
                )
                assert missing["count"].tolist() == [0], (label, name)


def test_the_definition_has_every_relationship_that_the_writer_makes():
    folder = Path(__file__).parents[2] / "cypher" / "ingest"
    made = {
        kind
        for path in folder.glob("*.cypher")
        for clause in re.findall(r"(?:MERGE|CREATE) (.*)", path.read_text(encoding="utf-8"))
        for kind in re.findall(r"-\[\w*:(\w+)", clause)
    } | {"STATE_OF"}  # on a line of its own in write_states
    assert made == {relationship.kind for relationship in graph_schema.RELATIONSHIPS}
