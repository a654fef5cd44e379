"""Where things are drawn, in inches and pixels; and that files are what they say."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from attrgraph_core import AttrGraphError
from attrgraph_core.drawing.communities import COLOURS, OTHERS
from attrgraph_core.drawing.figure import LABEL_GAP, MOST_LABELS, draw_graph, save_picture
from attrgraph_core.drawing.layout import COLUMN_GAP, image_shape_of, lay_out
from attrgraph_core.drawing.page import draw_page, save_page
from attrgraph_core.drawing.styles import AGAINST, FOR, drawn_edges, edge_strength, heat_map
from attrgraph_core.drawing.subgraph import subgraph
from attrgraph_core.interchange.tables import edge_rows, graph_of_rows
from tests.random_graphs import make_random_graph

LAYERS = ["input", "fc1", "fc2"]


@pytest.fixture
def graph():
    """Four pixels of an image of 2 x 2, two units, an output."""
    neurons = [("input", index, "input", value, abs(value)) for index, value in enumerate([1.0, -2.0, 0.0, 4.0])]
    neurons += [("fc1", 0, "unit", 1.0, 1.0), ("fc1", 1, "unit", -3.0, 3.0), ("fc2", 0, "output", 2.0, 2.0)]
    edges = [
        ("input", 0, "fc1", 0, 1.0, 1.0), ("input", 1, "fc1", 0, 0.5, 0.5), ("input", 3, "fc1", 1, -2.0, 2.0),
        ("fc1", 0, "fc2", 0, 4.0, 4.0), ("fc1", 1, "fc2", 0, -1.0, 1.0),
    ]  # fmt: skip
    return graph_of_rows(neurons, edges, method="deeplift", target="class:0")


def test_layers_are_columns_and_neurons_stand_by_their_neighbours(graph):
    layout = lay_out(graph, LAYERS)
    assert np.diff(layout.column_x).tolist() == pytest.approx([COLUMN_GAP] * 2)
    assert layout.x.tolist() == [layout.column_x[column] for column in (0, 0, 0, 0, 1, 1, 2)]
    first, second = layout.y[4:6]
    assert first > second  # fc1/0 reads the upper pixels
    assert layout.y[6] == pytest.approx((first + second) / 2)
    assert layout.image is None


def test_edges_that_cross_are_uncrossed():
    neurons = [(layer, index, kind, 1.0, 1.0) for layer, kind in (("input", "input"), ("fc1", "output"))
               for index in range(3)]  # fmt: skip
    edges = [("input", 0, "fc1", 2, 1.0, 1.0), ("input", 1, "fc1", 0, 1.0, 1.0), ("input", 2, "fc1", 1, 1.0, 1.0)]
    layout = lay_out(graph_of_rows(neurons, edges, method="m", target="label"), ["input", "fc1"])
    assert layout.y[layout.sources].tolist() == layout.y[layout.targets].tolist()


def test_pixels_are_where_they_are_in_the_image(graph):
    layout = lay_out(graph, LAYERS, (2, 2))
    assert layout.image is not None
    (left, right, bottom, top), shape = layout.image
    assert shape == (2, 2)
    quarter = (right - left) / 4
    assert layout.x[:4].tolist() == pytest.approx([left + quarter, right - quarter] * 2)
    assert layout.y[:4].tolist() == pytest.approx([top - quarter] * 2 + [bottom + quarter] * 2)
    assert layout.x[4] > right
    assert heat_map(graph.neurons[:4], (2, 2)).tolist() == [[1.0, -2.0], [0.0, 4.0]]
    channels = pd.DataFrame({"index": [0, 1, 2, 3], "attribution": [1.0, 2.0, 3.0, 4.0]})
    assert heat_map(channels, (2, 1, 2)).tolist() == [[4.0, 6.0]]


def test_strength_is_relative_to_the_two_layers(graph):
    layout = lay_out(graph, LAYERS)
    assert edge_strength(layout).tolist() == [0.5, 0.25, 1.0, 1.0, 0.25]
    assert drawn_edges(layout, 5).tolist() == [0, 1, 2, 3, 4]
    assert drawn_edges(layout, 2).tolist() == [2, 3]  # the strongest of each two layers


def test_what_is_an_image():
    assert image_shape_of(64) == (8, 8)
    assert image_shape_of(64, (4, 16)) == (4, 16)
    assert image_shape_of(3072, (3, 32, 32)) == (3, 32, 32)
    assert image_shape_of(64, ()) is None
    assert image_shape_of(30) is None
    assert image_shape_of(9) is None  # nine features are no image
    with pytest.raises(AttrGraphError, match="an image of shape 8x9 has not the graph's 64 inputs"):
        image_shape_of(64, (8, 9))


def test_a_table_is_drawn_as_what_it_names(graph):
    paths = pd.DataFrame({"neurons": [["input/3", "fc1/1", "fc2/0"]]})
    assert edge_rows(subgraph(graph, paths)) == [("input", 3, "fc1", 1, -2.0, 2.0), ("fc1", 1, "fc2", 0, -1.0, 1.0)]
    neurons = pd.DataFrame({"layer": ["input", "fc1", "fc2"], "index": [0, 0, 0]})
    assert [row[:4] for row in edge_rows(subgraph(graph, neurons))] == [
        ("input", 0, "fc1", 0), ("fc1", 0, "fc2", 0),
    ]  # fmt: skip
    with pytest.raises(AttrGraphError, match="no rows"):
        subgraph(graph, neurons[:0])
    with pytest.raises(AttrGraphError, match="1 of 1 neurons that the query returned are not in the graph"):
        subgraph(graph, pd.DataFrame({"layer": ["fc9"], "index": [0]}))


def test_a_figure_has_a_curve_an_edge_and_a_disc_a_neuron(graph):
    axes = draw_graph(graph, title="a title").axes[0]
    curves, *discs = axes.collections
    assert len(curves.get_paths()) == 5
    assert [len(column.get_offsets()) for column in discs] == [4, 2, 1]
    words = {text.get_text() for text in axes.texts}
    assert {"a title", "input\n4", "fc1\n2", "fc2\n1"} <= words
    assert "5 edges; red raises the score, blue lowers it; |weight| relative within two layers" in words


@pytest.mark.parametrize(("count", "labels"), [(10, 10), (1000, MOST_LABELS)])
def test_where_there_is_no_room_only_the_strongest_neurons_are_named(count, labels):
    neurons = [("input", index, "input", 1.0 + index, 1.0 + index) for index in range(count)]
    edges = [("input", index, "fc1", 0, 1.0 + index, 1.0 + index) for index in range(count)]
    drawn = graph_of_rows([*neurons, ("fc1", 0, "output", 1.0, 1.0)], edges, method="m", target="label")
    figure = draw_graph(drawn, image_shape=(), most_edges=100)
    texts = figure.axes[0].texts
    named = {text.get_text(): text.get_position()[1] for text in texts if text.get_ha() == "right"}
    assert len(named) == labels
    assert str(count - 1) in named
    heights = sorted(named.values())
    assert min(b - a for a, b in pairwise(heights)) >= LABEL_GAP
    assert any(text.get_text().startswith("the strongest 100 of 1000 edges") for text in texts) == (count == 1000)
    assert figure.get_size_inches()[1] <= 11


def test_files_are_what_they_say_and_there_whole(graph, tmp_path):
    figure = draw_graph(graph)
    save_picture(figure, tmp_path / "a.png")
    save_picture(figure, tmp_path / "a.svg", "svg")
    save_page(draw_page(graph, image_shape=(2, 2)), tmp_path / "a.html")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (tmp_path / "a.svg").read_text()
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "attribution -3, absolute 3" in page
    assert "<script src=" not in page  # needs no network
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.png", "a.svg"]


def test_a_page_has_the_numbers_of_neurons_and_edges(graph):
    page = draw_page(graph, title="a title")
    words = [word for trace in page.data for word in (trace.text if trace.text is not None else ())]
    assert "fc1/1 (unit)<br>attribution -3, absolute 3" in words
    assert "input/3 to fc1/1<br>weight -2, absolute 2" in words
    assert {trace.line.color for trace in page.data if trace.mode == "lines"} == {FOR, AGAINST}


def test_neurons_of_communities_have_their_colours(graph):
    rows = [("input", 0, 0), ("input", 1, 0), ("fc1", 0, 0), ("input", 3, 1), ("fc1", 1, 1), ("fc2", 0, 9)]
    table = pd.DataFrame(rows, columns=["layer", "index", "community"])
    table["name"] = table["community"].map({0: "class:3", 1: "none", 9: "class:1"})
    axes = draw_graph(graph, image_shape=(2, 2), communities=table).axes[0]
    _, units, outputs = axes.collections
    assert [to_hex(colour) for colour in [*units.get_facecolors(), *outputs.get_facecolors()]] == [
        COLOURS[0], COLOURS[1], OTHERS,
    ]  # fmt: skip
    frames = [to_hex(patch.get_edgecolor()) for patch in axes.patches[1:]]
    assert frames == [COLOURS[0], COLOURS[0], OTHERS, COLOURS[1]]  # input/2 is in none
    said = {text.get_text(): text.get_color() for text in axes.texts}
    assert {"● 0: class:3": COLOURS[0], "● 1: none": COLOURS[1]}.items() <= said.items()
    neurons = draw_page(graph, image_shape=(2, 2), communities=table).data[-1]
    assert list(neurons.marker.color[4:]) == [COLOURS[0], COLOURS[1], OTHERS]
    assert neurons.text[4].endswith("community 0: class:3")


def test_a_random_graph_that_leaps_over_layers_can_be_drawn():
    graph = make_random_graph(0)
    assert len(draw_graph(graph, image_shape=()).axes[0].collections[0].get_paths()) == len(graph.edges)
