"""A graph in one order, checked: neurons by layer and index, edges by target and source.

The order of layers is that of their first appearance among the neurons. Everything that ranks, breaks ties or writes
goes by this order, so that it does not depend on the order in which rows were given.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph

NEURON_COLUMNS = ("layer", "index", "kind", "attribution", "abs_attribution")
TOTAL_COLUMNS = ("total_in", "total_out")  # of a graph that has its strongest edges only
EDGE_COLUMNS = ("source_layer", "source_index", "target_layer", "target_index", "weight", "abs_weight")
KINDS = ("input", "unit", "channel", "head", "sum", "product", "output")


@dataclass(frozen=True)
class CanonicalGraph:
    """A checked graph; `sources` and `targets` (edges,) are the rows of `graph.neurons` that its edges join."""

    graph: AttributionGraph
    layers: tuple[str, ...]
    sources: np.ndarray
    targets: np.ndarray


def canonical_graph(graph: AttributionGraph) -> CanonicalGraph:
    """The same graph with whole-number indices, float64 values and rows in canonical order.

    Raises AttrGraphError for a missing column, an unknown kind, an index that is negative or not whole, a value that
    is not finite, a negative absolute value, a neuron or an edge given twice, and an edge to a neuron that is missing.
    """
    totals = [column for column in TOTAL_COLUMNS if set(TOTAL_COLUMNS) <= set(graph.neurons)]
    neurons = _checked(
        graph.neurons, (*NEURON_COLUMNS, *totals), "neurons", ["index"], ["attribution", "abs_attribution", *totals]
    )
    edges = _checked(graph.edges, EDGE_COLUMNS, "edges", ["source_index", "target_index"], ["weight", "abs_weight"])
    if neurons.empty:
        raise AttrGraphError("the graph has no neurons; attribute a network with at least one layer")
    unknown = neurons.loc[~neurons["kind"].isin(KINDS), "kind"]
    if len(unknown):
        raise AttrGraphError(f"unknown kind of neuron {unknown.iloc[0]!r}; known are {', '.join(KINDS)}")

    layers = pd.Index(neurons["layer"].unique())
    codes = layers.get_indexer(neurons["layer"])
    indices = neurons["index"].to_numpy()
    order = np.lexsort((indices, codes))
    neurons, codes, indices = neurons.iloc[order].reset_index(drop=True), codes[order], indices[order]
    repeated = np.flatnonzero((np.diff(codes) == 0) & (np.diff(indices) == 0))
    if len(repeated):
        raise AttrGraphError(f"neuron {_name(neurons, repeated[0])} is in the graph twice")

    width = int(indices.max()) + 1
    row_of = np.full(len(layers) * width, -1, dtype=np.int64)
    row_of[codes * width + indices] = np.arange(len(neurons))
    sources = _rows(edges, "source", layers, width, row_of)
    targets = _rows(edges, "target", layers, width, row_of)
    keys = targets * len(neurons) + sources
    steps = np.diff(keys)
    if (steps <= 0).any():
        order = np.argsort(keys, kind="stable")
        edges, sources, targets = edges.iloc[order].reset_index(drop=True), sources[order], targets[order]
        repeated = np.flatnonzero(np.diff(keys[order]) == 0)
        if len(repeated):
            ends = f"{_name(neurons, sources[repeated[0]])} to {_name(neurons, targets[repeated[0]])}"
            raise AttrGraphError(f"the edge from {ends} is in the graph twice; sum its weights first")
    return CanonicalGraph(
        graph=replace(graph, neurons=neurons, edges=edges), layers=tuple(layers), sources=sources, targets=targets
    )


def _name(neurons: pd.DataFrame, row: int) -> str:
    return f"{neurons['layer'].iloc[row]}/{neurons['index'].iloc[row]}"


def _checked(
    table: pd.DataFrame, columns: tuple[str, ...], what: str, whole: list[str], numbers: list[str]
) -> pd.DataFrame:
    missing = [column for column in columns if column not in table]
    if missing:
        raise AttrGraphError(f"the graph's {what} have no column {missing[0]!r}; they need {', '.join(columns)}")
    values: dict[str, np.ndarray | pd.Series] = {column: table[column].reset_index(drop=True) for column in columns}
    for column in [*whole, *numbers]:
        try:
            given = table[column].to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            raise AttrGraphError(f"column {column!r} of the graph's {what} holds something that is no number") from None
        wrong = ~np.isfinite(given)
        if column in whole:
            wrong |= (given < 0) | (given != np.floor(given)) | (given >= 2**31)
        elif column.startswith(("abs_", "total_")):
            wrong |= given < 0
        if wrong.any():
            row = table[list(columns)].iloc[int(np.flatnonzero(wrong)[0])]
            needs = (
                "whole number from 0 on" if column in whole else "finite number, and an absolute value is not negative"
            )
            raise AttrGraphError(
                f"{column} is {row.to_dict()[column]!r} in the row {row.to_dict()} of the graph's {what}; it must be a "
                f"{needs}"
            )
        values[column] = given.astype(np.int64) if column in whole else given
    return pd.DataFrame(values)


def _rows(edges: pd.DataFrame, end: str, layers: pd.Index, width: int, row_of: np.ndarray) -> np.ndarray:
    codes = layers.get_indexer(edges[f"{end}_layer"])
    indices = edges[f"{end}_index"].to_numpy()
    known = (codes >= 0) & (indices < width)
    rows = np.full(len(edges), -1, dtype=np.int64)
    rows[known] = row_of[codes[known] * width + indices[known]]
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        edge = edges.iloc[int(missing[0])]
        raise AttrGraphError(
            f"an edge has its {end} at neuron {edge[f'{end}_layer']}/{edge[f'{end}_index']}, which the graph has not; "
            f"its layers are {', '.join(map(str, layers))}"
        )
    return rows
