"""A graph as a sparse matrix of shares, and sums over all its paths.

`shares[j, i]` is the part that neuron i has in what flows into neuron j: |weight| of i -> j over all |weight| into j.
The strength of a path is the product of its shares, so the sum over all paths from i to j is entry (j, i) of
S + S² + S³ + ..., a series that ends because an attribution graph has no cycles. One neuron's row or column of it takes
as many sparse products as the network is deep.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.canonical_graph import canonical_graph

LONGEST_PATH = 1000  # of any network that is attributed; a cycle should not be followed for hours


@dataclass(frozen=True)
class Flow:
    """A graph in canonical order. `sources` and `targets` (edges,) are rows of `neurons`; `shares` (neurons, neurons)
    has a row a target, `share` (edges,) the same in the order of `edges`; `output_parts` (neurons,) are the outputs'
    parts of all the outputs' absolute attribution, 0 elsewhere."""

    neurons: pd.DataFrame
    edges: pd.DataFrame
    sources: np.ndarray
    targets: np.ndarray
    share: np.ndarray
    shares: csr_array
    output_parts: np.ndarray

    def of_kind(self, kind: str) -> np.ndarray:
        """Which neurons are of a kind, (neurons,)."""
        return (self.neurons["kind"] == kind).to_numpy()

    def scored(self, scores: np.ndarray, name: str = "score") -> pd.DataFrame:
        """A row a neuron: layer, index and its score."""
        return self.neurons[["layer", "index"]].assign(**{name: scores})


def flow_of(graph: AttributionGraph, of_stored: bool = False) -> Flow:
    """The shares of a graph's edges in all that flows into their targets, or only in what its own edges bring.

    They differ where a graph has its strongest edges only and knows the totals of all. Raises as `canonical_graph`.
    """
    canonical = canonical_graph(graph)
    neurons, edges = canonical.graph.neurons, canonical.graph.edges
    masses = edges["abs_weight"].to_numpy()
    total_in = np.bincount(canonical.targets, weights=masses, minlength=len(neurons))
    if not of_stored and "total_in" in neurons:
        total_in = neurons["total_in"].to_numpy()
    share = np.divide(masses, total_in[canonical.targets], out=np.zeros(len(edges)), where=masses > 0)
    outputs = np.where(neurons["kind"] == "output", neurons["abs_attribution"], 0.0)
    return Flow(
        neurons=neurons,
        edges=edges,
        sources=canonical.sources,
        targets=canonical.targets,
        share=share,
        shares=edge_matrix(share, canonical.targets, canonical.sources, len(neurons)),
        output_parts=outputs / outputs.sum() if outputs.any() else outputs,
    )


def edge_matrix(values: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: int) -> csr_array:
    """A sparse (size, size) matrix with a value an edge."""
    return csr_array((values, (rows, columns)), shape=(size, size))


def sum_over_paths(start: np.ndarray, matrix: csr_array) -> np.ndarray:
    """`start + start M + start M² + ...`, (neurons,): what `start` (neurons,) carries back along all paths.

    Raises AttrGraphError for a graph with a cycle, where the series has no end.
    """
    step, total = start, start.astype(float)
    for _ in range(longest_path(len(start))):
        step = step @ matrix
        if not step.any():
            return total
        total = total + step
    raise has_cycle(len(start))


def longest_path(neuron_count: int) -> int:
    """How many steps lead to the end of every path, if there is one: no path without a cycle meets a neuron twice."""
    return min(neuron_count, LONGEST_PATH)


def has_cycle(neuron_count: int) -> AttrGraphError:
    """What is raised where paths go on after `longest_path` steps."""
    return AttrGraphError(
        f"a path of the graph has more than {longest_path(neuron_count)} edges: it has a cycle, and sums over paths do "
        "not end"
    )
