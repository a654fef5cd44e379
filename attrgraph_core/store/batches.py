"""A graph cut into batches for the server: lists of values, a list a column, each batch of about `BATCH_BYTES`.

Batches are made while they are sent, from slices of the tables, so that a large graph takes no more memory to write
than a small one. A batch is a transaction: 512 KiB of edges is 19 thousand of them, some MB to the server.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from attrgraph_core.graph.sparsify import SparseGraph

BATCH_BYTES = 1 << 19
EDGES_A_STATE = 8  # so that a batch of states, with their neurons and links, takes no longer than one of edges
# Neo4j keeps a node's relationships in groups once there are more than 50. Until then two transactions that each join
# states to one graph wait for each other, and then the server ends one of them for a deadlock.
STATES_ALONE = 64
NUMBER_BYTES = 9  # of a float in Bolt, and of the largest whole number
INDEX_BYTES = 5
BATCHES_A_SLICE = 8

STATE_COLUMNS = {
    "layers": "layer", "indices": "index", "kinds": "kind", "attributions": "attribution",
    "abs_attributions": "abs_attribution", "total_ins": "total_in", "kept_ins": "kept_in", "total_outs": "total_out",
}  # fmt: skip


def slices(table: pd.DataFrame, row_count: int) -> Iterator[pd.DataFrame]:
    """The rows of a table, `row_count` at a time, without copying it."""
    for start in range(0, len(table), row_count):
        yield table.iloc[start : start + row_count]


def state_batches(neurons: pd.DataFrame) -> Iterator[dict[str, list[Any]]]:
    """Neurons with their totals as the parameters of query `write_states`.

    The first batch, which all others wait for, is small.
    """
    texts = sum(max(len(text.encode()) for text in neurons[name].unique()) for name in ("layer", "kind"))
    row_bytes = texts + INDEX_BYTES + 5 * NUMBER_BYTES
    batch_size = max(1, BATCH_BYTES // EDGES_A_STATE // row_bytes)
    first_size = min(batch_size, STATES_ALONE)
    for rows in (neurons.iloc[:first_size], *slices(neurons.iloc[first_size:], batch_size)):
        yield {name: rows[column].tolist() for name, column in STATE_COLUMNS.items()}


def edge_batches(sparse: SparseGraph) -> Iterator[dict[str, Any]]:
    """Edges as the parameters of query `write_edges`: batches of one pair of layers each.

    A neuron's place is that among the states which the query collects: of its layer, in the order of their indices,
    from the first to the last that the batch needs. Targets come in order, so that batches share sources, but next to
    no target: two transactions that join edges to the same sources and to the same targets come to a deadlock now and
    then (seen, with batches in the order of sources).
    """
    indices = {layer: rows["index"].to_numpy() for layer, rows in sparse.graph.neurons.groupby("layer", sort=False)}
    batch_size = max(1, BATCH_BYTES // (2 * INDEX_BYTES + 2 * NUMBER_BYTES))
    for part in slices(sparse.graph.edges, BATCHES_A_SLICE * batch_size):
        # A slice is in the order of targets: of a wide network it holds one pair of layers, of a small one all.
        for (source_layer, target_layer), pair in part.groupby(["source_layer", "target_layer"], sort=False):
            for rows in slices(pair, batch_size):
                yield {
                    **_ends("source", source_layer, indices[source_layer], rows["source_index"].to_numpy()),
                    **_ends("target", target_layer, indices[target_layer], rows["target_index"].to_numpy()),
                    "weights": rows["weight"].tolist(),
                    "abs_weights": rows["abs_weight"].tolist(),
                }


def _ends(side: str, layer: str, layer_indices: np.ndarray, indices: np.ndarray) -> dict[str, Any]:
    first, last = indices.min(), indices.max()
    places = np.searchsorted(layer_indices, indices) - np.searchsorted(layer_indices, first)
    return {
        f"{side}_layer": layer,
        f"first_{side}": int(first),
        f"last_{side}": int(last),
        f"{side}_places": places.tolist(),
    }
