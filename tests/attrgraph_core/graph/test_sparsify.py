import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.sparsify import sparsify


def make_graph(masses: list[list[float]]) -> AttributionGraph:
    """`masses[j][i]` is the abs_weight of the edge from input i to output j; every weight is negative."""
    table = np.array(masses, dtype=float)
    target_count, source_count = table.shape
    targets, sources = np.indices(table.shape).reshape(2, -1)
    neurons = pd.DataFrame(
        {
            "layer": ["input"] * source_count + ["out"] * target_count,
            "index": [*range(source_count), *range(target_count)],
            "kind": ["input"] * source_count + ["output"] * target_count,
            "attribution": 0.0,
            "abs_attribution": 0.0,
        }
    )
    ends = {"source_layer": "input", "source_index": sources, "target_layer": "out", "target_index": targets}
    edges = pd.DataFrame({**ends, "weight": -table.ravel(), "abs_weight": table.ravel()})
    return AttributionGraph(neurons, edges, "deeplift", "label", "zeros", 1, 0.0)


def kept(graph: AttributionGraph) -> list[tuple[int, int]]:
    return list(zip(graph.edges["source_index"], graph.edges["target_index"], strict=True))


def slow_twin(masses: list[list[float]], edge_mass: float, most: int) -> list[tuple[int, int]]:
    """Edge by edge, from the definition: (source, target) by target and source."""
    edges = []
    for target, row in enumerate(masses):
        held, chosen = 0.0, []
        strongest_first = sorted(range(len(row)), key=lambda source: (-row[source], source))
        while strongest_first and held < edge_mass * sum(row) and len(chosen) < most:
            source = strongest_first.pop(0)
            chosen.append(source)
            held += row[source]
        edges += [(source, target) for source in sorted(chosen)]
    return edges


def test_keeps_the_fewest_edges_that_hold_the_mass():
    sparse = sparsify(make_graph([[1, 8, 4, 3], [0, 0, 5, 0], [0, 0, 0, 0]]), edge_mass=0.75)
    assert kept(sparse.graph) == [(1, 0), (2, 0), (2, 1)]  # 8 + 4 is exactly three quarters of 16
    assert sparse.graph.neurons[["total_in", "kept_in", "total_out"]].to_numpy().tolist() == [
        [0, 0, 1], [0, 0, 8], [0, 0, 9], [0, 0, 3], [16, 12, 0], [5, 5, 0], [0, 0, 0],
    ]  # fmt: skip
    assert sparse.kept_mass == 17 / 21
    assert sparse.total_edge_count == 12
    assert sparse.graph.edges["weight"].tolist() == [-8, -4, -5]


def test_equal_edges_are_kept_in_the_order_of_their_sources():
    sparse = sparsify(make_graph([[1, 2, 2, 2, 1]]), edge_mass=1.0, max_edges_per_neuron=2)
    assert kept(sparse.graph) == [(1, 0), (2, 0)]
    assert sparse.kept_mass == 0.5


def test_the_whole_mass_keeps_every_edge_but_those_of_weight_zero():
    assert kept(sparsify(make_graph([[1, 0, 2]]), edge_mass=1.0).graph) == [(0, 0), (2, 0)]


def test_a_graph_without_influence_keeps_all_of_nothing():
    assert sparsify(make_graph([[0.0, 0.0]])).kept_mass == 1.0


def test_a_graph_without_edges_stays_without():
    graph = make_graph([[1.0]])
    sparse = sparsify(AttributionGraph(graph.neurons, graph.edges.iloc[:0], "deeplift", "label", "zeros", 1, 0.0))
    assert len(sparse.graph.edges) == 0
    assert sparse.kept_mass == 1.0


tables = st.integers(1, 6).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 8), min_size=width, max_size=width), min_size=1, max_size=6)
)


@given(masses=tables, sixteenths=st.integers(1, 16), most=st.integers(1, 7), seed=st.integers(0, 9))
def test_keeps_what_the_slow_twin_keeps_in_any_order_of_rows(masses, sixteenths, most, seed):
    graph = make_graph(masses)
    shuffled = graph.edges.sample(frac=1, random_state=seed)
    graph = AttributionGraph(graph.neurons, shuffled, "deeplift", "label", "zeros", 1, 0.0)
    sparse = sparsify(graph, sixteenths / 16, most)
    assert kept(sparse.graph) == slow_twin(masses, sixteenths / 16, most)
    total = sum(map(sum, masses))
    assert sparse.kept_mass == (sparse.graph.edges["abs_weight"].sum() / total if total else 1.0)


@pytest.mark.parametrize("edge_mass", [0.0, -0.1, 1.01, float("nan")])
def test_refuses_a_mass_that_is_no_share(edge_mass):
    with pytest.raises(AttrGraphError, match=r"edge_mass is .*above 0 and at most 1"):
        sparsify(make_graph([[1.0]]), edge_mass)


def test_refuses_to_keep_no_edge():
    with pytest.raises(AttrGraphError, match="max_edges_per_neuron is 0"):
        sparsify(make_graph([[1.0]]), max_edges_per_neuron=0)


def test_a_million_edges_take_seconds():
    """About half a second of one processor's time; the bound only catches a loop over edges."""
    graph = make_graph(np.random.default_rng(0).random((1000, 1000)).tolist())
    started = time.process_time()
    sparsify(graph)
    assert time.process_time() - started < 10
