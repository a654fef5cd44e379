"""How large and of which colour neurons and edges are drawn."""

import numpy as np
import pandas as pd

from attrgraph_core.drawing.layout import Layout

FOR, AGAINST = "#b2182b", "#2166ac"  # the ends of the colour map RdBu


def edge_strength(layout: Layout) -> np.ndarray:
    """|weight| of each edge over the largest between its two layers, (edges,)."""
    edges = layout.graph.edges
    masses = edges["weight"].abs()
    largest = masses.groupby([edges["source_layer"], edges["target_layer"]]).transform("max").to_numpy()
    return np.divide(masses.to_numpy(), largest, out=np.zeros(len(edges)), where=largest > 0)


def drawn_edges(layout: Layout, most: int) -> np.ndarray:
    """The rows of the edges that are drawn: of each two layers the strongest, in their share of `most`."""
    strength = edge_strength(layout)
    if len(strength) <= most:
        return np.arange(len(strength))
    edges = layout.graph.edges
    pairs = edges.groupby(["source_layer", "target_layer"], sort=False).ngroup().to_numpy()
    order = np.lexsort((-strength, pairs))
    counts = np.bincount(pairs)
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.flatnonzero(rank < most / len(counts))


def neuron_size(layout: Layout) -> np.ndarray:
    """Absolute attribution of each neuron over the largest of its layer, (neurons,)."""
    neurons = layout.graph.neurons
    largest = neurons.groupby("layer")["abs_attribution"].transform("max").to_numpy()
    return np.divide(
        neurons["abs_attribution"].to_numpy(), largest, out=np.zeros(len(neurons)), where=largest > 0
    )  # fmt: skip


def heat_map(inputs: pd.DataFrame, shape: tuple[int, ...]) -> np.ndarray:
    """Signed attribution of the pixels, summed over channels, (rows, columns)."""
    values = np.zeros(int(np.prod(shape)))
    values[inputs["index"].to_numpy()] = inputs["attribution"].to_numpy()
    return values.reshape(-1, *shape[-2:]).sum(axis=0)
