"""A graph cut into batches for the server: lists of values, a list a column, each batch of about `BATCH_BYTES`.

Batches are made while they are sent, from slices of the tables, so that a large graph takes no more memory to write
than a small one. A batch is a transaction: 1 MiB of edges is 40 thousand of them, some tens of MB to the server.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from attrgraph_core.graph.sparsify import SparseGraph

BATCH_BYTES = 1 << 20
EDGES_A_STATE = 8  # a state, with its neuron and links, takes the server as long as so many edges
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
    """Neurons with their totals as the parameters of query `write_states`; a batch takes as long as one of edges, which
    wait for it."""
    texts = sum(max(len(text.encode()) for text in neurons[name].unique()) for name in ("layer", "kind"))
    row_bytes = texts + INDEX_BYTES + 5 * NUMBER_BYTES
    for rows in slices(neurons, max(1, BATCH_BYTES // EDGES_A_STATE // row_bytes)):
        yield {name: rows[column].tolist() for name, column in STATE_COLUMNS.items()}


def edge_batches(sparse: SparseGraph) -> Iterator[dict[str, Any]]:
    """Edges as the parameters of query `write_edges`: batches of one pair of layers each.

    A neuron's place is that among its layer's neurons by index.
    """
    indices = {layer: rows["index"].to_numpy() for layer, rows in sparse.graph.neurons.groupby("layer", sort=False)}
    batch_size = max(1, BATCH_BYTES // (2 * INDEX_BYTES + 2 * NUMBER_BYTES))
    for part in slices(sparse.graph.edges, BATCHES_A_SLICE * batch_size):
        # A slice is in the order of targets: of a wide network it holds one pair of layers, of a small one all.
        for (source_layer, target_layer), pair in part.groupby(["source_layer", "target_layer"], sort=False):
            for rows in slices(pair, batch_size):
                yield {
                    "source_layer": source_layer,
                    "target_layer": target_layer,
                    "source_places": np.searchsorted(indices[source_layer], rows["source_index"]).tolist(),
                    "target_places": np.searchsorted(indices[target_layer], rows["target_index"]).tolist(),
                    "weights": rows["weight"].tolist(),
                    "abs_weights": rows["abs_weight"].tolist(),
                }
