"""The rule of circuit-tracer: the fractions of its own test, and a dense twin of the rule on random graphs."""

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.circuits.pruning import prune, pruned_edges, pruned_neurons
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from tests.random_graphs import EDGE_COLUMNS, dense, make_random_graph, names, output_parts, row_shares


@pytest.fixture
def twelve_neurons() -> AttributionGraph:
    """The graph of circuit-tracer's tests/test_graph.py: 9 hidden neurons, inputs 9 and 10, output 11."""
    kinds = ["unit"] * 9 + ["input"] * 2 + ["output"]
    edges = [(1, 11), (3, 11), (6, 11), (8, 11), (0, 3), (1, 3), (6, 3), (9, 1), (10, 1), (9, 0)]
    return AttributionGraph(
        pd.DataFrame({"layer": "n", "index": range(12), "kind": kinds, "attribution": 1.0, "abs_attribution": 1.0}),
        pd.DataFrame([("n", s, "n", t, 10.0, 10.0) for s, t in edges], columns=EDGE_COLUMNS),
        "deeplift", "label", "zeros", 1, 0.0,
    )  # fmt: skip


def test_influence_is_that_of_circuit_tracers_own_test(twelve_neurons):
    expected = [1 / 12, 1 / 3, 0, 1 / 4, 0, 0, 1 / 3, 0, 1 / 4, 1 / 4, 1 / 6, 0]
    # There neuron 0 has a source, too: 9 has 1/6 by way of 1 and 1/12 by way of 0.
    np.testing.assert_allclose(prune(twelve_neurons).influence, expected, atol=1e-12)


def test_edge_influence_without_the_pruned_neuron_is_that_of_circuit_tracers_own_test(twelve_neurons):
    found = prune(twelve_neurons, node_threshold=0.8)
    assert not found.neurons[0]
    expected = {(11, 1): 1 / 4, (11, 3): 1 / 4, (11, 6): 1 / 4, (11, 8): 1 / 4, (3, 1): 1 / 8, (3, 6): 1 / 8,
                (1, 9): 3 / 16, (1, 10): 3 / 16, (3, 0): 0, (0, 9): 0}  # fmt: skip
    rows = zip(found.flow.targets.tolist(), found.flow.sources.tolist(), found.edge_influence.tolist(), strict=True)
    assert {(target, source): value for target, source, value in rows} == pytest.approx(expected)


def test_neurons_without_a_way_in_or_out_go(twelve_neurons):
    """6 and 8 have no source, so 3, which has only 1 and 6, keeps 1; nothing dangles in the end."""
    assert pruned_neurons(twelve_neurons)["index"].tolist() == [1, 3, 9, 10, 11]
    assert pruned_edges(twelve_neurons)[["source_index", "target_index"]].to_numpy().tolist() == [
        [9, 1], [10, 1], [1, 3], [1, 11], [3, 11]
    ]  # fmt: skip


def influence(matrix: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ (np.linalg.inv(np.eye(len(matrix)) - matrix) - np.eye(len(matrix)))


def threshold(scores: np.ndarray, share: float) -> float:
    ordered = np.sort(scores)[::-1]
    reached = np.cumsum(ordered) / ordered.sum()
    return ordered[min(np.searchsorted(reached, share), len(ordered) - 1)]


@pytest.mark.parametrize("thresholds", [(0.8, 0.98), (0.5, 0.7), (0.95, 0.9)])
@pytest.mark.parametrize(("seed", "density"), [(0, 1.0), (1, 1.0), (2, 0.5), (3, 0.5), (4, 0.3)])
def test_keeps_what_the_dense_rule_keeps(seed, density, thresholds):
    graph = make_random_graph(seed, density)
    matrix, parts = dense(graph), output_parts(graph)
    scores = influence(row_shares(matrix), parts)
    free = (graph.neurons["kind"] == "unit").to_numpy()
    kept = (scores >= threshold(scores, thresholds[0])) | ~free
    pruned = matrix * np.outer(kept, kept)
    shares = row_shares(pruned)
    edge_scores = shares * (influence(shares, parts) + parts)[:, None]
    edges = (edge_scores >= threshold(edge_scores.ravel(), thresholds[1])) & (edge_scores > 0)
    before = None
    while before is None or (before != kept).any():
        before = kept.copy()
        kept = kept & (~free | (edges.any(axis=0) & edges.any(axis=1)))
        edges = edges & np.outer(kept, kept)
    found = prune(graph, *thresholds)
    assert found.neurons.tolist() == kept.tolist()
    place = {name: row for row, name in enumerate(names(graph))}
    table = pruned_edges(graph, *thresholds)
    expected = {(place[f"{row.target_layer}/{row.target_index}"], place[f"{row.source_layer}/{row.source_index}"])
                for row in table.itertuples()}  # fmt: skip
    assert expected == set(zip(*(axis.tolist() for axis in np.nonzero(edges)), strict=True))


def test_everything_stays_at_thresholds_of_one():
    graph = make_random_graph(0)
    assert len(pruned_edges(graph, 1.0, 1.0)) == len(graph.edges)


def test_a_graph_without_influence_keeps_nothing():
    graph = make_random_graph(0)
    neurons = graph.neurons.assign(abs_attribution=0.0)
    assert pruned_neurons(AttributionGraph(neurons, graph.edges, "deeplift", "label", "zeros", 1, 0.0)).empty


@pytest.mark.parametrize("thresholds", [(-0.1, 0.98), (0.8, 1.1), (float("nan"), 0.5)])
def test_thresholds_are_shares(thresholds):
    with pytest.raises(AttrGraphError, match="threshold is"):
        prune(make_random_graph(0), *thresholds)
