import dataclasses

import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.canonical_graph import canonical_graph


@pytest.fixture
def graph() -> AttributionGraph:
    """input/0 -[1]-> fc/0, input/3 -[-2]-> fc/0, input/3 -[4]-> fc/1"""
    neurons = pd.DataFrame(
        [("input", 0, "input", 1.0, 1.0), ("input", 3, "input", 2.0, 2.0),
         ("fc", 0, "output", -1.0, 3.0), ("fc", 1, "output", 4.0, 4.0)],
        columns=["layer", "index", "kind", "attribution", "abs_attribution"],
    )  # fmt: skip
    edges = pd.DataFrame(
        [("input", 0, "fc", 0, 1.0, 1.0), ("input", 3, "fc", 0, -2.0, 2.0), ("input", 3, "fc", 1, 4.0, 4.0)],
        columns=["source_layer", "source_index", "target_layer", "target_index", "weight", "abs_weight"],
    )
    return AttributionGraph(neurons, edges, "deeplift", "label", "zeros", 1, 0.0)


def changed(graph: AttributionGraph, table: str, row: int, column: str, value: object) -> AttributionGraph:
    rows = getattr(graph, table).astype({column: object})
    rows.loc[row, column] = value
    return dataclasses.replace(graph, **{table: rows})


def test_gives_the_rows_of_both_ends(graph):
    canonical = canonical_graph(graph)
    assert canonical.layers == ("input", "fc")
    assert canonical.sources.tolist() == [0, 1, 1]
    assert canonical.targets.tolist() == [2, 2, 3]


def test_the_order_of_rows_does_not_matter(graph):
    expected = canonical_graph(graph)
    given = dataclasses.replace(graph, neurons=graph.neurons.iloc[[1, 3, 2, 0]], edges=graph.edges.iloc[::-1])
    canonical = canonical_graph(given)
    pd.testing.assert_frame_equal(canonical.graph.neurons, expected.graph.neurons)
    pd.testing.assert_frame_equal(canonical.graph.edges, expected.graph.edges)


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "message"),
    [
        ("neurons", 1, "attribution", float("nan"), "attribution is nan in the row .*'index': 3"),
        ("neurons", 1, "kind", "neuron", "unknown kind of neuron 'neuron'; known are input, unit"),
        ("neurons", 1, "index", 0, "neuron input/0 is in the graph twice"),
        ("neurons", 1, "index", -1, "index is -1 .* whole number"),
        ("neurons", 1, "index", 0.5, "index is 0.5 .* whole number"),
        ("edges", 2, "weight", float("inf"), "weight is inf"),
        ("edges", 2, "abs_weight", -4.0, "abs_weight is -4.0 .*not negative"),
        ("edges", 2, "weight", "strong", "column 'weight' .* no number"),
        ("edges", 2, "target_index", 2, "its target at neuron fc/2, which the graph has not; its layers are input, fc"),
        ("edges", 2, "source_layer", "conv", "its source at neuron conv/3"),
        ("edges", 1, "source_index", 0, "edge from input/0 to fc/0 is in the graph twice"),
    ],
)
def test_refuses_what_is_no_graph(graph, table, row, column, value, message):
    with pytest.raises(AttrGraphError, match=message):
        canonical_graph(changed(graph, table, row, column, value))


def test_refuses_a_missing_column(graph):
    given = dataclasses.replace(graph, edges=graph.edges.drop(columns="abs_weight"))
    with pytest.raises(AttrGraphError, match="edges have no column 'abs_weight'"):
        canonical_graph(given)


def test_refuses_a_graph_without_neurons(graph):
    given = dataclasses.replace(graph, neurons=graph.neurons.iloc[:0], edges=graph.edges.iloc[:0])
    with pytest.raises(AttrGraphError, match="no neurons"):
        canonical_graph(given)
