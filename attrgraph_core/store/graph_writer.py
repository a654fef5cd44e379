"""Writing a graph so that a reader sees all of it or nothing.

A graph is `writing` from its first statement to its last, and only `complete` ones are read. Batches are transactions
of their own; a writer killed between two of them leaves a graph that nobody sees and that the next writer replaces.
Each writer has a token: one that was overtaken by another notices at its next batch and gives up.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.sparsify import SparseGraph
from attrgraph_core.store.batches import slices
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_lanes import overtaken, write_content
from attrgraph_core.store.provenance import run_is_gone
from attrgraph_core.store.queries import load_query

DELETE_BATCH = 20_000
HASHED_ROWS = 100_000


@dataclass(frozen=True)
class StoredGraph:
    """What was written of a graph. `edge_count` edges of `total_edge_count` are stored."""

    graph_id: str
    target: str
    node_count: int
    edge_count: int
    total_edge_count: int
    kept_mass: float
    completeness_delta: float


def content_hash(sparse: SparseGraph) -> str:
    """64 hexadecimal digits of SHA-256 over everything of a graph that is stored."""
    digest = hashlib.sha256(repr(sorted(_properties(sparse).items())).encode())
    for table in (sparse.graph.neurons, sparse.graph.edges):
        for name, column in table.items():
            digest.update(f"\0{name}\0".encode())
            is_text = column.dtype.kind not in "if"
            names = pd.Index(column.unique() if is_text else [])
            digest.update("\0".join(names).encode())
            for rows in slices(column.to_frame(), HASHED_ROWS):
                values = rows.iloc[:, 0]
                if is_text:
                    codes, found = values.factorize()
                    digest.update(names.get_indexer(found)[codes].tobytes())
                else:
                    digest.update(values.to_numpy().tobytes())
    return digest.hexdigest()


def write_graph(
    database: Database, sparse: SparseGraph, *, graph_id: str, snapshot_id: str, origin: Mapping[str, str | None]
) -> None:
    """Write a graph of a snapshot that is there, or replace it; nothing is written where the same one is complete.

    `origin` is what the graph is kept with beside its content: run_id, and imported_from.
    Raises AttrGraphError where another writer takes over, the run is deleted meanwhile, or what was found in the end is
    not what was written.
    """
    new_hash = content_hash(sparse)
    found = database.read(load_query("lookup/graph"), {"graph_id": graph_id})
    if len(found) and found["status"].iloc[0] == "complete" and found["content_hash"].iloc[0] == new_hash:
        return
    writer = uuid.uuid4().hex
    properties = {**_properties(sparse), **origin}
    begun = database.write(
        "begin_graph", snapshot_id=snapshot_id, graph_id=graph_id, writer=writer, properties=properties
    )
    if not begun:
        raise run_is_gone(str(origin["run_id"]))
    if begun[0]["has_content"]:
        delete_content(database, graph_id, writer)
    write_content(database, sparse, graph_id, writer, str(origin["run_id"]))
    node_count, edge_count = len(sparse.graph.neurons), len(sparse.graph.edges)
    rows = database.write(
        "complete_graph",
        graph_id=graph_id,
        writer=writer,
        node_count=node_count,
        edge_count=edge_count,
        content_hash=new_hash,
    )
    if not rows:
        raise overtaken(graph_id)
    if rows[0] != {"found_nodes": node_count, "found_edges": edge_count}:
        raise AttrGraphError(
            f"graph {graph_id} has {rows[0]['found_nodes']} neurons and {rows[0]['found_edges']} edges after writing "
            f"{node_count} and {edge_count}; something else wrote into it. Save it again"
        )


def delete_content(database: Database, graph_id: str, writer: str) -> None:
    """Delete the edges and states of a graph that readers do not see, as long as `writer` is the one that it is of.

    Edges first: a batch of nodes may have any number of them, more than fit into the memory of a transaction.
    """
    for query in ("delete_edges", "delete_circuit_members", "delete_states"):
        database.write_until_none(query, graph_id=graph_id, writer=writer, batch_size=DELETE_BATCH)


def _properties(sparse: SparseGraph) -> dict[str, Any]:
    graph = sparse.graph
    return {
        "method": graph.method,
        "target": graph.target,
        "baseline": graph.baseline,
        "sample_count": int(graph.sample_count),
        "completeness_delta": float(graph.completeness_delta),
        "layers": list(sparse.layers),
        "kept_mass": sparse.kept_mass,
        "edge_mass": sparse.edge_mass,
        "max_edges_per_neuron": sparse.max_edges_per_neuron,
        "total_edge_count": sparse.total_edge_count,
    }
