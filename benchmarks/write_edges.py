"""How fast edges come into Neo4j: ways to write the same edges, one after the other, on one server.

    python benchmarks/write_edges.py [--edges 200000] [--layers 4] [--rounds 3]

The server is that of NEO4J_URI, or the embedded one. Prints edges a second, the best of the rounds, and the ratio to
merging row by row. The ways alternate within a round, so that a busy machine slows all of them. `save` is
`GraphStore.save`, all told.
"""

import argparse
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.sparsify import SparseGraph, sparsify
from attrgraph_core.store import graph_writer
from attrgraph_core.store.graph_store import GraphStore

MERGED_ROWS = """
UNWIND $rows AS row
MERGE (source:NeuronState {graph_id: $graph_id, layer: row.source_layer, index: row.source_index})
MERGE (target:NeuronState {graph_id: $graph_id, layer: row.target_layer, index: row.target_index})
MERGE (source)-[edge:INFLUENCES]->(target)
SET edge.weight = row.weight, edge.abs_weight = row.abs_weight
"""
MATCHED_ROWS = """
UNWIND range(0, size($weights) - 1) AS row
MATCH (source:NeuronState {graph_id: $graph_id, layer: $source_layer, index: $source_places[row]})
MATCH (target:NeuronState {graph_id: $graph_id, layer: $target_layer, index: $target_places[row]})
CREATE (source)-[:INFLUENCES {weight: $weights[row], abs_weight: $abs_weights[row]}]->(target)
"""
MERGE_BATCH = 5_000


def make_graph(layer_count: int, edge_count: int) -> AttributionGraph:
    """Layers of equal width, each neuron with 64 edges into it, `edge_count` in all."""
    width = max(64, edge_count // (64 * (layer_count - 1)))
    generator = np.random.default_rng(0)
    names = ["input", *(f"fc{layer}" for layer in range(1, layer_count))]
    kinds = ["input", *["unit"] * (layer_count - 2), "output"]
    neurons = pd.concat(
        pd.DataFrame(
            {"layer": name, "index": np.arange(width), "kind": kind, "attribution": 0.5, "abs_attribution": 1.0}
        )
        for name, kind in zip(names, kinds, strict=True)
    )
    tables = []
    for source, target in itertools.pairwise(names):
        sources = np.concatenate([generator.choice(width, 64, replace=False) for _ in range(width)])
        weights = generator.normal(size=width * 64)
        ends = {"source_layer": source, "source_index": sources, "target_layer": target}
        values = {"target_index": np.repeat(np.arange(width), 64), "weight": weights, "abs_weight": abs(weights)}
        tables.append(pd.DataFrame({**ends, **values}))
    return AttributionGraph(neurons, pd.concat(tables), "deeplift", "label", "zeros", 1, 0.0)


def merge_rows(store: GraphStore, sparse: SparseGraph, graph_id: str) -> None:
    edges = sparse.graph.edges
    for start in range(0, len(edges), MERGE_BATCH):
        rows = edges.iloc[start : start + MERGE_BATCH].to_dict("records")
        store.run_cypher(MERGED_ROWS, {"graph_id": graph_id, "rows": rows}, read_only=False)


def match_and_create(store: GraphStore, sparse: SparseGraph, graph_id: str) -> None:
    for batch in graph_writer._edge_batches(sparse):
        store.run_cypher(MATCHED_ROWS, {"graph_id": graph_id, **batch}, read_only=False)


def create_from_collected(store: GraphStore, sparse: SparseGraph, graph_id: str) -> None:
    for batch in graph_writer._edge_batches(sparse):
        store._database.write("write_edges", graph_id=graph_id, writer="benchmark", **batch)


WAYS: dict[str, Callable[[GraphStore, SparseGraph, str], None]] = {
    "merge row by row": merge_rows,
    "match by index, create": match_and_create,
    "collect once, create": create_from_collected,
}


def states_only(store: GraphStore, sparse: SparseGraph, run_id: str, way: str) -> str:
    """A graph with all its states and no edges, open for writing; its id."""
    graph_id = f"{run_id}/{way}"
    store._database.write("write_stage", run_id=run_id, stage_id=run_id, position=1, kind=None, properties={})
    snapshot: dict[str, Any] = {"stage_id": run_id, "snapshot_id": run_id, "epoch": 0, "loss": None, "accuracy": None}
    store._database.write("write_snapshot", **snapshot)
    written = {"graph_id": graph_id, "writer": "benchmark"}
    store._database.write("begin_graph", snapshot_id=run_id, properties={}, **written)
    for batch in graph_writer._state_batches(sparse):
        store._database.write("write_states", run_id=run_id, **written, **batch)
    return graph_id


def rounds_of(store: GraphStore, graph: AttributionGraph, count: int) -> Iterator[dict[str, float]]:
    """Edges a second of each way, round by round."""
    sparse = sparsify(graph, edge_mass=1.0)
    edge_count = len(sparse.graph.edges)
    for _ in range(count):
        run_id = f"benchmark-{uuid.uuid4().hex[:8]}"
        speeds = {}
        try:
            for name, way in WAYS.items():
                graph_id = states_only(store, sparse, run_id, name)
                started = time.perf_counter()
                way(store, sparse, graph_id)
                speeds[name] = edge_count / (time.perf_counter() - started)
            started = time.perf_counter()
            store.save(graph, run_id=f"{run_id}-saved", stage=1, epoch=0, edge_mass=1.0)
            speeds["save"] = edge_count / (time.perf_counter() - started)
            yield speeds
        finally:
            for made in (run_id, f"{run_id}-saved"):
                if len(store.run_cypher("MATCH (run:Run {run_id: $run_id}) RETURN run", {"run_id": made})):
                    store.delete_run(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, default=200_000)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    graph = make_graph(arguments.layers, arguments.edges)
    started = time.perf_counter()
    sparsify(graph)
    print(
        f"{len(graph.edges)} edges, {len(graph.neurons)} neurons; sparsified in {time.perf_counter() - started:.2f} s"
    )
    with GraphStore.open() as store:
        table = pd.DataFrame(rounds_of(store, graph, arguments.rounds))
    best = table.max()
    for name, speed in best.items():
        print(f"{name:24} {speed:9.0f} edges/s   {speed / best.iloc[0]:5.1f} times merging")


if __name__ == "__main__":
    main()
