"""An index that is lost shows: beside a small run are 3000 nodes of every kind, related, which no query has to look at.

For every index of `cypher/schema/` there is a query that starts from it. With the index, its hits on the database are
within their bound; without it, it looks at all nodes or relationships of a kind.
"""

import re
from collections.abc import Iterator
from typing import Any

import neo4j
import pytest

from attrgraph_core.store.doctor import wanted_indexes
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.queries import check_parameters, load_query, query_names
from attrgraph_core.store.schema import schema_files
from tests.cypher.conftest import HISTORY

pytestmark = pytest.mark.neo4j

RUN = "query-tests"
STAGE = f"{RUN}/stage_2"
PADDING = """
UNWIND range(1, 3000) AS number
CREATE (neuron:Neuron {run_id: 'query-tests', layer: 'padding', index: number}),
       (:Experiment {name: 'padding/' + number})-[:HAS_RUN]->
       (run:Run {run_id: 'padding/' + number, status: 'complete'}),
       (stage:Stage {stage_id: 'padding/' + number, position: 0}),
       (snapshot:Snapshot {snapshot_id: 'padding/' + number, epoch: 0}),
       (graph:AttributionGraph {
         graph_id: 'padding/' + number, run_id: 'padding/' + number, status: 'complete', method: 'deeplift',
         target: 'label'
       }),
       (state:NeuronState {graph_id: 'padding', layer: 'fc1', index: number, kind: 'unit'}),
       (set:NeuronSet {neuron_set_id: 'padding/' + number, run_id: 'padding'}),
       (circuit:Circuit {circuit_id: 'padding/' + number}),
       (run)-[:HAS_STAGE]->(stage),
       (stage)-[:HAS_SNAPSHOT]->(snapshot)-[:HAS_GRAPH]->(graph)-[:HAS_STATE]->(state)-[:STATE_OF]->(neuron),
       (stage)-[:TRAINS]->(set)-[:SELECTS]->(neuron), (circuit)-[:YIELDS]->(set), (circuit)-[:FOUND_IN]->(graph)
"""
UNPADDED = """
MATCH (node) WHERE any(name IN keys(node) WHERE node[name] STARTS WITH 'padding')
DETACH DELETE node
"""
# Only in a transaction that is taken back: no store opens with versions that nobody knows.
PADDED_VERSIONS = "UNWIND range(1, 3000) AS number CREATE (:SchemaVersion {version: -number})"
# Index: a query that starts from it, what it is asked with, and its bound.
STARTS: dict[str, tuple[str, dict[str, Any], int]] = {
    "schema_version": ("ingest/write_schema_version", {"version": 1, "name": "001_identities", "hash": ""}, 100),
    "experiment_name": (
        "ingest/write_run",
        {
            "run_id": RUN, "experiment": "query_tests", "seed": 0, "config_hash": "c", "code_version": "v",
            "status": "running", "configuration": None, "dagster_run_id": None, "makes_run": True,
        },
        500,
    ),
    "run_id": ("lookup/run", {"run_id": RUN}, 100),
    "stage_id": ("analysis/choosing_query", {"stage_id": STAGE}, 100),
    "snapshot_id": (
        "ingest/write_snapshot",
        {"stage_id": STAGE, "snapshot_id": f"{STAGE}/epoch_1", "epoch": 1, "loss": None, "accuracy": None},
        500,
    ),
    "graph_id": ("analysis/neuron_influence", {"graph_id": f"{STAGE}/epoch_1/deeplift/label"}, 100),
    "neuron_place": ("analysis/influence_through_time", {"run_id": RUN, "layer": "fc1", "index": 0}, 400),
    "neuron_state_place": ("lookup/missing_states", {"holder_id": "padding", "layers": ["fc1"], "indices": [-1]}, 100),
    "circuit_id": ("lookup/missing_circuits", {"circuit_ids": ["none"]}, 100),
    "neuron_set_id": ("analysis/neuron_set", {"neuron_set_id": "padding/7"}, 100),
    "neuron_run": ("export/neurons", {"run_id": HISTORY}, 200),
    "graph_status": ("lookup/unfinished_graphs", {}, 200),
    "graph_run": ("ingest/hide_run", {"run_id": RUN, "writer": "w"}, 500),
    "state_graph": (
        "analysis/blamed_inputs",
        {"graph_id": f"{STAGE}/epoch_1/deeplift/label", "other_graph_id": f"{RUN}/stage_1/epoch_0/deeplift/label"},
        400,
    ),
    "circuit_faithfulness": ("analysis/faithful_circuits", {}, 400),
}  # fmt: skip


@pytest.fixture(scope="module")
def padded(store: GraphStore) -> Iterator[GraphStore]:
    store.run_cypher(UNPADDED, read_only=False)
    store.run_cypher(PADDING, read_only=False)
    yield store
    store.run_cypher(UNPADDED, read_only=False)


def database_hits(driver: neo4j.Driver, name: str, asked: dict[str, Any]) -> int:
    """Hits on the database of all steps of a query's plan, as it ran; what it wrote is taken back."""
    query = load_query(name)
    with driver.session() as session, session.begin_transaction() as transaction:
        transaction.run(PADDED_VERSIONS).consume()
        values = asked if name.startswith("ingest/") else check_parameters(query, asked)
        summary = transaction.run("PROFILE " + query.text, values).consume()
        transaction.rollback()

    def of_step(step: dict[str, Any]) -> int:
        return step.get("dbHits", 0) + sum(map(of_step, step.get("children", [])))

    return of_step(summary.profile)


def remake(driver: neo4j.Driver, name: str) -> None:
    """Make an index or a constraint as its schema file does."""
    for query in schema_files().values():
        for statement in query.statements:
            if re.match(rf"CREATE \w+ {name}\b", statement):
                driver.execute_query(statement)
    driver.execute_query("CALL db.awaitIndexes(60)")


@pytest.mark.parametrize("name", sorted(wanted_indexes(schema_files())))
def test_a_query_whose_index_is_lost_breaks_its_bound(padded, neo4j_driver, name):
    query, asked, bound = STARTS[name]
    assert database_hits(neo4j_driver, query, asked) <= bound
    is_constraint = padded.run_cypher("SHOW CONSTRAINTS YIELD name WHERE name = $name RETURN name", {"name": name})
    neo4j_driver.execute_query(f"DROP {'CONSTRAINT' if len(is_constraint) else 'INDEX'} {name}")
    try:
        hits = database_hits(neo4j_driver, query, asked)
    finally:
        remake(neo4j_driver, name)
    assert hits > 3000 > bound
    assert database_hits(neo4j_driver, query, asked) <= bound


def test_every_query_named_here_starts_from_an_index_that_is_made():
    assert set(STARTS) == wanted_indexes(schema_files())


def test_no_two_schema_files_have_one_number():
    assert len(schema_files()) == len(query_names("schema"))
