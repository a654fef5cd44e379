"""An index that is lost shows: beside a small run are 3000 nodes of every kind, related, which no query has to look at.

Each query here starts from one index. With it, its hits on the database are within their bound; without it, it looks at
all nodes or relationships of a kind.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.queries import check_parameters, load_query

pytestmark = pytest.mark.neo4j

RUN = "query-tests"
PADDING = """
UNWIND range(1, 3000) AS number
CREATE (neuron:Neuron {run_id: 'query-tests', layer: 'padding', index: number}),
       (stage:Stage {stage_id: 'padding/' + number, position: 0}),
       (snapshot:Snapshot {snapshot_id: 'padding/' + number, epoch: 0}),
       (graph:AttributionGraph {
         graph_id: 'padding/' + number, status: 'complete', method: 'deeplift', target: 'label'
       }),
       (state:NeuronState {graph_id: 'padding', layer: 'fc1', index: number, kind: 'unit'}),
       (set:NeuronSet {neuron_set_id: 'padding/' + number, run_id: 'padding'}),
       (circuit:Circuit {circuit_id: 'padding/' + number}),
       (stage)-[:HAS_SNAPSHOT]->(snapshot)-[:HAS_GRAPH]->(graph)-[:HAS_STATE]->(state)-[:STATE_OF]->(neuron),
       (stage)-[:TRAINS]->(set)-[:SELECTS]->(neuron), (circuit)-[:YIELDS]->(set)
"""
UNPADDED = """
MATCH (node) WHERE any(name IN keys(node) WHERE node[name] STARTS WITH 'padding')
DETACH DELETE node
"""
# Constraint: a query that starts from its index, and its bound.
STARTS = {
    "graph_id": ("neuron_influence", 100),
    "neuron_place": ("influence_through_time", 400),
    "neuron_set_id": ("neuron_set", 100),
    "stage_id": ("choosing_query", 100),
}


@pytest.fixture(scope="module")
def padded(store: GraphStore) -> Iterator[GraphStore]:
    store.run_cypher(UNPADDED, read_only=False)
    store.run_cypher(PADDING, read_only=False)
    yield store
    store.run_cypher(UNPADDED, read_only=False)


def database_hits(driver: Any, name: str, known: dict[str, Any]) -> int:
    """Hits on the database of all steps of a query's plan, as it ran."""
    query = load_query(name)
    asked = {parameter: known[parameter] for parameter, about in query.params.items() if about.is_required}
    _, summary, _ = driver.execute_query("PROFILE " + query.text, check_parameters(query, asked))

    def of_step(step: dict[str, Any]) -> int:
        return step.get("dbHits", 0) + sum(map(of_step, step.get("children", [])))

    return of_step(summary.profile)


@pytest.mark.parametrize("constraint", STARTS)
def test_a_query_whose_index_is_lost_breaks_its_bound(padded, neo4j_driver, constraint):
    name, bound = STARTS[constraint]
    stage_id = f"{RUN}/stage_2"
    known = {
        "graph_id": f"{stage_id}/epoch_1/deeplift/label", "run_id": RUN, "stage_id": stage_id, "layer": "fc1",
        "index": 0, "neuron_set_id": padded.query("choosing_query", stage_id=stage_id)["neuron_set_id"][0],
    }  # fmt: skip
    assert database_hits(neo4j_driver, name, known) <= bound
    made = padded.run_cypher(
        "SHOW CONSTRAINTS YIELD name, createStatement WHERE name = $name RETURN createStatement", {"name": constraint}
    )
    neo4j_driver.execute_query(f"DROP CONSTRAINT {constraint}")
    try:
        assert database_hits(neo4j_driver, name, known) > 3000 > bound
    finally:
        neo4j_driver.execute_query(made["createStatement"][0])
        neo4j_driver.execute_query("CALL db.awaitIndexes(60)")
    assert database_hits(neo4j_driver, name, known) <= bound
