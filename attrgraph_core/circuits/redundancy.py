"""Neurons that do the same: pairs of one layer with the same neighbours and the same weights.

A neuron is the vector x of its signed weights, in and out. Two are alike by 2 x·y / (x·x + y·y): 1 only where they are
equal, 0 where they share no neighbour, below 0 where one does the opposite of the other.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, hstack

from attrgraph_core.circuits.flow import edge_matrix, flow_of
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph

ROWS_AT_ONCE = 1024


def redundant_neurons(graph: AttributionGraph, min_similarity: float = 0.9) -> pd.DataFrame:
    """A row a pair of units or channels of one layer: layer, index, other_index (the larger), similarity.

    Raises AttrGraphError for a `min_similarity` outside (0, 1].
    """
    if not 0 < min_similarity <= 1:
        raise AttrGraphError(f"min_similarity is {min_similarity}; it is above 0 and at most 1 (equal neurons)")
    flow = flow_of(graph)
    weights = edge_matrix(flow.edges["weight"].to_numpy(), flow.targets, flow.sources, len(flow.neurons))
    vectors = csr_array(hstack([weights, weights.T]))
    hidden = np.flatnonzero(flow.neurons["kind"].isin(["unit", "channel"]))
    tables = [
        flow.neurons.loc[first, ["layer", "index"]].reset_index(drop=True).assign(
            other_index=flow.neurons.loc[second, "index"].to_numpy(), similarity=similarity
        )
        for rows in pd.Series(hidden).groupby(flow.neurons["layer"].to_numpy()[hidden], sort=False)
        for first, second, similarity in _pairs(vectors, rows[1].to_numpy(), min_similarity)
    ]  # fmt: skip
    empty = pd.DataFrame({"layer": [], "index": [], "other_index": [], "similarity": []})
    return pd.concat(tables, ignore_index=True) if tables else empty


def _pairs(
    vectors: csr_array, rows: np.ndarray, min_similarity: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs of rows of a layer that are alike, each once, some at a time."""
    own = vectors[rows]
    squares = np.asarray(own.multiply(own).sum(axis=1)).ravel()
    for start in range(0, len(rows), ROWS_AT_ONCE):
        products = (own[start : start + ROWS_AT_ONCE] @ own.T).tocoo()
        first, second = products.row + start, products.col
        similarity = 2 * products.data / (squares[first] + squares[second])
        alike = (first < second) & (similarity >= min_similarity - 1e-12)
        yield rows[first[alike]], rows[second[alike]], similarity[alike]
