"""A circuit as data: the neurons, or the edges, that a query's table names."""

from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from attrgraph_core.store.provenance import EDGE_END_COLUMNS, neurons_of

Neuron = tuple[str, int]  # layer, index
Edge = tuple[str, int, str, int]  # source layer, source index, target layer, target index


@dataclass(frozen=True)
class Circuit:
    """`neurons` in the order of the table; `edges` are those that it names, or None where it names neurons alone."""

    neurons: tuple[Neuron, ...]
    edges: tuple[Edge, ...] | None

    @property
    def part_count(self) -> int:
        """How many edges, or neurons where there are no edges."""
        return len(self.neurons if self.edges is None else self.edges)


def circuit_of(table: pd.DataFrame) -> Circuit:
    """The circuit in a query's table, each neuron and edge once.

    Columns `layer` and `index` name neurons; a column `neurons` of lists of '<layer>/<index>' names paths, whose steps
    are the edges; the four columns of edges name edges. Raises AttrGraphError for a table with none of them.
    """
    neurons = tuple(neurons_of(table))
    if {"layer", "index"} <= set(table):
        return Circuit(neurons, None)
    if "neurons" in table:
        paths = [[(layer, int(index)) for layer, _, index in (n.rpartition("/") for n in names)]
                 for names in table["neurons"]]  # fmt: skip
        edges = [(*source, *target) for path in paths for source, target in pairwise(path)]
    else:
        ends = zip(*(table[column].tolist() for column in EDGE_END_COLUMNS), strict=True)
        edges = [(str(source), int(i), str(target), int(j)) for source, i, target, j in ends]
    return Circuit(neurons, tuple(dict.fromkeys(edges)))
