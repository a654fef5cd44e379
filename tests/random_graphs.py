"""Random attribution graphs, and the same as matrices and dictionaries, for twins written from definitions."""

import itertools

import numpy as np
import pandas as pd

from attrgraph_core.graph.attribution_graph import AttributionGraph

SIZES = {"input": 5, "fc1": 4, "fc2": 4, "fc3": 3}
KINDS = {"input": "input", "fc1": "unit", "fc2": "unit", "fc3": "output"}
PAIRS = [*itertools.pairwise(SIZES), ("fc1", "fc3")]  # one leaps over a layer as in a residual network
EDGE_COLUMNS = ["source_layer", "source_index", "target_layer", "target_index", "weight", "abs_weight"]


def make_random_graph(seed: int, density: float = 1.0, target: str = "label") -> AttributionGraph:
    """Four layers of 5, 4, 4 and 3 neurons; each edge is there with probability `density`."""
    generator = np.random.default_rng(seed)
    neurons = [
        (layer, index, KINDS[layer], float(value), abs(float(value)))
        for layer, size in SIZES.items()
        for index, value in enumerate(generator.normal(size=size))
    ]
    edges = [
        (source, i, target_layer, j, float(value), abs(float(value)) + 0.1)
        for source, target_layer in PAIRS
        for i in range(SIZES[source])
        for j, value in enumerate(generator.normal(size=SIZES[target_layer]))
        if generator.random() < density
    ]
    return AttributionGraph(
        pd.DataFrame(neurons, columns=["layer", "index", "kind", "attribution", "abs_attribution"]),
        pd.DataFrame(edges, columns=EDGE_COLUMNS),
        "deeplift", target, "zeros", 1, 0.0,
    )  # fmt: skip


def names(graph: AttributionGraph) -> list[str]:
    """'<layer>/<index>' of every neuron."""
    return [f"{row.layer}/{row.index}" for row in graph.neurons.itertuples()]


def edges_of(graph: AttributionGraph) -> list[tuple[str, str, float, float]]:
    """Source, target, weight and abs_weight of every edge."""
    return [
        (f"{row.source_layer}/{row.source_index}", f"{row.target_layer}/{row.target_index}", row.weight, row.abs_weight)
        for row in graph.edges.itertuples()
    ]


def dense(graph: AttributionGraph, column: int = 3) -> np.ndarray:
    """A matrix (targets, sources) of |weight|, or with `column` 2 of weight."""
    place = {name: row for row, name in enumerate(names(graph))}
    matrix = np.zeros((len(place), len(place)))
    for edge in edges_of(graph):
        matrix[place[edge[1]], place[edge[0]]] = edge[column]
    return matrix


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """Each row divided by its sum, a row of zeros as it is."""
    totals = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)


def output_parts(graph: AttributionGraph) -> np.ndarray:
    """Each output's part of all outputs' absolute attribution, 0 for other neurons."""
    parts = np.where(graph.neurons["kind"] == "output", graph.neurons["abs_attribution"], 0.0)
    return parts / parts.sum()


def all_paths(graph: AttributionGraph) -> list[list[tuple[str, str, float, float]]]:
    """Every path from an input to an output as its edges, by recursion."""
    kinds = dict(zip(names(graph), graph.neurons["kind"], strict=True))
    leaving: dict[str, list[tuple[str, str, float, float]]] = {name: [] for name in kinds}
    for edge in edges_of(graph):
        leaving[edge[0]].append(edge)

    def on(path: list[tuple[str, str, float, float]], name: str) -> list[list[tuple[str, str, float, float]]]:
        if kinds[name] == "output":
            return [path]
        return [longer for edge in leaving[name] for longer in on([*path, edge], edge[1])]

    return [path for name, kind in kinds.items() if kind == "input" for path in on([], name)]
