"""A graph from rows that a file names: neurons and edges become the tables of an `AttributionGraph`, checked."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.canonical_graph import EDGE_COLUMNS, NEURON_COLUMNS, canonical_graph

NeuronRow = tuple[str, int, str, float, float]  # layer, index, kind, attribution, abs_attribution
EdgeRow = tuple[str, int, str, int, float, float]  # its ends, weight, abs_weight


def graph_of_rows(
    neurons: Iterable[NeuronRow],
    edges: Iterable[EdgeRow],
    *,
    method: str,
    target: str,
    baseline: str = "unknown",
    sample_count: int = 1,
    completeness_delta: float = 0.0,
) -> AttributionGraph:
    """A graph in canonical order. Raises AttrGraphError as `canonical_graph`."""
    graph = AttributionGraph(
        neurons=pd.DataFrame(list(neurons), columns=list(NEURON_COLUMNS)),
        edges=pd.DataFrame(list(edges), columns=list(EDGE_COLUMNS)),
        method=method,
        target=target,
        baseline=baseline,
        sample_count=sample_count,
        completeness_delta=completeness_delta,
    )
    return canonical_graph(graph).graph


def neuron_rows(graph: AttributionGraph) -> list[NeuronRow]:
    return [tuple(row) for row in graph.neurons[list(NEURON_COLUMNS)].to_numpy(dtype=object).tolist()]


def edge_rows(graph: AttributionGraph) -> list[EdgeRow]:
    return [tuple(row) for row in graph.edges[list(EDGE_COLUMNS)].to_numpy(dtype=object).tolist()]


def about(graph: AttributionGraph) -> dict[str, Any]:
    """What a graph is beside its neurons and edges, by name."""
    names = ("method", "target", "baseline", "sample_count", "completeness_delta")
    return {name: getattr(graph, name) for name in names}
