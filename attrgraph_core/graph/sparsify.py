"""The strongest edges of a graph: for each neuron, the fewest incoming edges that hold most of its influence.

A dense pair of layers is never stored whole. Of a neuron's incoming edges, strongest first, those are kept whose
predecessors together hold less than `edge_mass` of the neuron's total absolute influence, and at most
`max_edges_per_neuron`. What was left out stays visible: `total_in` and `kept_in` of every neuron, and `kept_mass` of
the graph.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.canonical_graph import TOTAL_COLUMNS, CanonicalGraph, canonical_graph

EDGE_MASS = 0.95
MAX_EDGES_PER_NEURON = 64


@dataclass(frozen=True)
class EdgeLimits:
    """Which edges are kept of a neuron's incoming ones: see `sparsify`."""

    edge_mass: float = EDGE_MASS
    max_edges_per_neuron: int = MAX_EDGES_PER_NEURON

    def __post_init__(self) -> None:
        check_limits(self.edge_mass, self.max_edges_per_neuron)


@dataclass(frozen=True)
class SparseGraph:
    """A graph with its strongest edges, in canonical order, and how much of the whole they hold.

    `graph.neurons` has three more columns, all sums of abs_weight: `total_in` and `total_out` over all the edges into
    and out of the neuron, `kept_in` over the kept edges into it. `kept_mass` is kept over total of the whole graph, 1
    where there is nothing to keep.
    """

    graph: AttributionGraph
    layers: tuple[str, ...]
    kept_mass: float
    edge_mass: float
    max_edges_per_neuron: int
    total_edge_count: int


def sparsify(
    graph: AttributionGraph, edge_mass: float = EDGE_MASS, max_edges_per_neuron: int = MAX_EDGES_PER_NEURON
) -> SparseGraph:
    """For each neuron its smallest set of incoming edges that holds `edge_mass` of their total abs_weight.

    At most `max_edges_per_neuron` are kept; of equal edges the one whose source comes first in the graph; edges of
    weight 0 never. A graph that has its strongest edges only, with the totals of all, stays as it is under the same
    limits. Raises AttrGraphError for `edge_mass` outside (0, 1], a maximum below 1, and a malformed graph
    (see `canonical_graph`).
    """
    check_limits(edge_mass, max_edges_per_neuron)
    return sparsify_canonical(canonical_graph(graph), edge_mass, max_edges_per_neuron)


def check_limits(edge_mass: float, max_edges_per_neuron: int) -> None:
    """Raise AttrGraphError for limits that `sparsify` refuses."""
    if not 0 < edge_mass <= 1:
        raise AttrGraphError(
            f"edge_mass is {edge_mass}; it is the share of a neuron's influence to keep, above 0 and at most 1"
        )
    if max_edges_per_neuron < 1 or max_edges_per_neuron != int(max_edges_per_neuron):
        raise AttrGraphError(f"max_edges_per_neuron is {max_edges_per_neuron}; it is a whole number of at least 1")


def sparsify_canonical(canonical: CanonicalGraph, edge_mass: float, max_edges_per_neuron: int) -> SparseGraph:
    """`sparsify` of a graph that is checked already."""
    neurons, edges = canonical.graph.neurons, canonical.graph.edges
    masses = edges["abs_weight"].to_numpy()
    # Stable, and the edges of a target are in the order of their sources: that decides between equal ones.
    order = np.lexsort((-masses, canonical.targets))
    targets, sorted_masses = canonical.targets[order], masses[order]
    # Summed group by group: the difference of two running sums over the whole graph would round differently.
    reached = pd.Series(sorted_masses).groupby(targets, sort=False).cumsum().to_numpy()
    starts = np.flatnonzero(np.diff(targets, prepend=-1))
    counts = np.diff(starts, append=len(targets))
    if set(TOTAL_COLUMNS) <= set(neurons):  # edges were left out before
        total_in, total_out = (neurons[column].to_numpy() for column in TOTAL_COLUMNS)
    else:
        total_in = np.zeros(len(neurons))
        total_in[targets[starts]] = reached[starts + counts - 1]
        total_out = np.bincount(canonical.sources, weights=masses, minlength=len(neurons))
    rank = np.arange(len(targets)) - np.repeat(starts, counts)
    before = np.where(rank == 0, 0.0, np.concatenate([[0.0], reached[:-1]]))
    kept = (before < edge_mass * total_in[targets]) & (rank < max_edges_per_neuron) & (sorted_masses > 0)

    last_kept = np.flatnonzero(kept & ~np.append(kept[1:] & (np.diff(targets) == 0), False))
    kept_in = np.zeros(len(neurons))
    kept_in[targets[last_kept]] = reached[last_kept]
    total = float(total_in.sum())
    sparse = replace(
        canonical.graph,
        neurons=neurons.assign(total_in=total_in, kept_in=kept_in, total_out=total_out),
        edges=edges.iloc[np.sort(order[kept])].reset_index(drop=True),
    )
    return SparseGraph(
        graph=sparse,
        layers=canonical.layers,
        kept_mass=float(kept_in.sum()) / total if total else 1.0,
        edge_mass=float(edge_mass),
        max_edges_per_neuron=int(max_edges_per_neuron),
        total_edge_count=canonical.graph.total_edge_count or len(edges),
    )


def strongest_in_rows(absolute: np.ndarray, limits: EdgeLimits) -> np.ndarray:
    """Which edges of a layer are kept, (targets, sources) of True and False; `absolute` has sources in their order.

    The rule of `sparsify` for a matrix whose rows are the edges into one neuron each.
    """
    order = np.argsort(-absolute, axis=1, kind="stable")[:, : limits.max_edges_per_neuron]
    strongest = np.take_along_axis(absolute, order, axis=1)
    before = np.cumsum(strongest, axis=1) - strongest
    enough = limits.edge_mass * absolute.sum(axis=1, keepdims=True)
    kept = np.zeros(absolute.shape, dtype=bool)
    np.put_along_axis(kept, order, (before < enough) & (strongest > 0), axis=1)
    return kept
