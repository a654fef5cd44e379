"""Small graphs, and a store on the session's server. Every test has a run of its own, deleted at its end."""

import dataclasses
import uuid
from collections.abc import Callable, Iterator

import pytest

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from tests.worked_graph import make_graph


@pytest.fixture
def graph() -> AttributionGraph:
    return make_graph(completeness_delta=0.25)


@pytest.fixture
def scaled(graph: AttributionGraph) -> Callable[[float], AttributionGraph]:
    """The graph with all its values times a factor."""

    def scale(factor: float) -> AttributionGraph:
        neurons, edges = graph.neurons.copy(), graph.edges.copy()
        neurons[["attribution", "abs_attribution"]] *= factor
        edges[["weight", "abs_weight"]] *= factor
        return dataclasses.replace(graph, neurons=neurons, edges=edges)

    return scale


@pytest.fixture(scope="session")
def session_store(neo4j_connection: Connection) -> Iterator[GraphStore]:
    with GraphStore.open(neo4j_connection) as store:
        yield store


@pytest.fixture
def store(session_store: GraphStore) -> GraphStore:
    return session_store


@pytest.fixture
def run_id(store: GraphStore) -> Iterator[str]:
    name = f"run-{uuid.uuid4().hex[:8]}"
    yield name
    if len(store.run_cypher("MATCH (run:Run {run_id: $run_id}) RETURN run", {"run_id": name})):
        store.delete_run(name)


@pytest.fixture
def contents(store: GraphStore, run_id: str) -> Callable[[], dict[str, object]]:
    """Everything that hangs on the run, without the time of writing."""

    def read() -> dict[str, object]:
        table = store.run_cypher(
            """
            MATCH (run:Run {run_id: $run_id})
            MATCH (run) (()-[:HAS_STAGE|HAS_SNAPSHOT|HAS_GRAPH|HAS_STATE|STATE_OF]->()){0,5} (node)
            WITH DISTINCT node
            RETURN elementId(node) AS id, labels(node) AS labels, properties(node) AS properties,
                   COLLECT { MATCH (node)-[edge]->() RETURN elementId(edge) AS edge ORDER BY edge } AS edges
            """,
            {"run_id": run_id},
        )
        times = ("written_at", "linked_at", "started_at", "finished_at")
        return {
            row.id: (row.labels, {k: v for k, v in row.properties.items() if k not in times}, row.edges)
            for row in table.itertuples()
        }

    return read
