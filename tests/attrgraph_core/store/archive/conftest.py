"""A run with something of everything, and all that a server holds of it."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.targeting.neuron_set import NeuronSet

EVERYTHING = """
MATCH (run:Run {run_id: $run_id})
MATCH (run) (()-[:HAS_RUN|HAS_STAGE|HAS_SNAPSHOT|HAS_GRAPH|HAS_STATE|STATE_OF|FOUND_IN|YIELDS|TRAINS]-()){0,6} (node)
WHERE node:Experiment OR any(name IN keys(node) WHERE node[name] STARTS WITH $run_id)
WITH DISTINCT node
RETURN labels(node) AS labels, properties(node) AS properties,
       COLLECT { MATCH (node)-[edge]->(other) RETURN [type(edge), properties(edge), properties(other)] } AS edges
"""


def everything(store: GraphStore, run_id: str) -> list[str]:
    """Every node of a run with all its properties and relationships, in an order of their own, as text."""
    rows = store._database.driver.execute_query(EVERYTHING, run_id=run_id).records
    return sorted(_text([row["labels"], row["properties"], sorted(map(_text, row["edges"]))]) for row in rows)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_text(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return repr(value)


@pytest.fixture
def whole_run(store, run_id, graph, scaled) -> str:
    """Two stages, three epochs, graphs of two targets, a circuit, a neuron set, its training, and half a graph."""
    store.save_run(run_id, f"of-{run_id}", seed=3, config_hash="abc", code_version="1.0")
    store.save_stage(run_id, 1, "full", seconds=1.5, note="a`\"\n,;'ü")
    store.save_stage(run_id, 2, "targeted", rate=1, seconds=2)
    place = {"run_id": run_id, "edge_mass": 1.0}
    saved = store.save(graph, stage=1, epoch=0, loss=0.5, accuracy=0.75, **place)
    store.save(scaled(2.0), stage=1, epoch=1, **place)
    store.save(scaled(3.0), stage=2, epoch=1, **place)
    table = store.query("top_influential_neurons", graph_id=saved.graph_id, top_k=3)
    circuit_id = store.save_circuit(saved.graph_id, "top_influential_neurons", {"top_k": 3}, table)
    chosen = NeuronSet({"fc1": (0,)}, "top_influence", 0.5)
    store.save_training(run_id, 2, store.save_neuron_set([circuit_id], chosen, run_id=run_id))
    store.finish_run(run_id, "complete")
    return run_id


@pytest.fixture
def matched_runs(store, whole_run, graph) -> Iterator[list[str]]:
    """The run, and one of the same network whose hidden neurons match its: two pairs."""
    other = f"{whole_run}-other"
    store.save(graph, run_id=other, stage=1, epoch=0, edge_mass=1.0)
    pairs = {"layer": ["fc1", "fc1"], "index": [0, 1], "other_index": [1, 0], "correlation": [0.5, -0.25]}
    store.save_matches(whole_run, other, pd.DataFrame(pairs))
    yield [whole_run, other]
    if len(store.run_cypher("MATCH (run:Run {run_id: $run_id}) RETURN run", {"run_id": other})):
        store.delete_run(other)


@pytest.fixture
def contents_of():
    return everything
