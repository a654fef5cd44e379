"""Pictures that are there: decoded from the metadata that Dagster's UI shows, and looked at pixel by pixel."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from attrgraph_core.interchange.tables import graph_of_rows
from pipelines.pictures import (
    WIDEST,
    draw_epochs,
    draw_input_influence,
    draw_strongest_edges,
    picture_metadata,
    table_metadata,
)

GRAPH = graph_of_rows(
    [("input", 0, "input", 1.0, 1.0), ("input", 1, "input", -0.5, 0.5), ("fc1", 0, "unit", 0.25, 0.25),
     ("fc1", 1, "unit", 0.0, 0.0), ("output", 0, "output", 1.0, 1.0)],
    [("input", 0, "fc1", 0, 2.0, 2.0), ("input", 1, "fc1", 1, -1.0, 1.0), ("fc1", 0, "output", 0, 0.5, 0.75)],
    method="deeplift", target="label",
)  # fmt: skip
RED, BLUE = (0xB2, 0x18, 0x2B), (0x21, 0x66, 0xAC)


def pixels_of(figure: Figure) -> np.ndarray:
    """The picture in the metadata, (rows, columns, 3) from 0 to 255."""
    match = re.fullmatch(r"!\[picture\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", picture_metadata(figure).md_str)
    assert match is not None
    content = base64.b64decode(match[1], validate=True)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return np.rint(imread(io.BytesIO(content), format="png")[..., :3] * 255).astype(int)


def share_of(color: tuple[int, int, int], pixels: np.ndarray, tolerance: int = 12) -> float:
    return float((np.abs(pixels - color).max(axis=-1) <= tolerance).mean())


@pytest.mark.parametrize(
    ("figure", "inches"),
    [
        (draw_epochs([0, 1, 2], [2.0, 1.0, 0.5], [0.1, 0.8, 0.9]), (6, 2.6)),
        (draw_input_influence(np.arange(64.0), (64,), "image"), (3.2, 2.8)),
        (draw_input_influence(np.arange(-5.0, 5.0), (10,), "bars"), (3.2, 2.8)),
        (draw_strongest_edges(GRAPH, (2,), "graph"), (5.4, 3.4)),
    ],
)
def test_a_picture_has_its_size_and_is_not_blank(figure: Figure, inches: tuple[float, float]):
    pixels = pixels_of(figure)
    rows, columns = pixels.shape[:2]
    # 90 pixels an inch; the margins are cut to what is drawn.
    assert (columns, rows) == pytest.approx([90 * side for side in inches], rel=0.25)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    assert 0.2 < share_of((255, 255, 255), pixels) < 0.99


def test_losses_and_accuracies_are_both_drawn():
    figure = draw_epochs([1, 2], [2.0, 1.0], [0.1, 0.8])
    drawn = [axes.lines[0].get_xydata().tolist() for axes in figure.axes]
    assert drawn == [[[1, 2.0], [2, 1.0]], [[1, 0.1], [2, 0.8]]]
    pixels = pixels_of(figure)
    assert share_of((0x8C, 0x2D, 0x04), pixels) > 0.001
    assert share_of((0x08, 0x51, 0x9C), pixels) > 0.001


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 1, 2), [[4.0, 6.0]]),  # channels are added up
        ((2, 2), [[1.0, 2.0], [3.0, 4.0]]),
        ((4,), [[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_inputs_of_an_image_are_shown_as_one(shape: tuple[int, ...], expected: list[list[float]]):
    figure = draw_input_influence(np.array([1.0, 2.0, 3.0, 4.0]), shape, "inputs")
    assert figure.axes[0].images[0].get_array().tolist() == expected


def test_inputs_of_no_image_are_bars():
    figure = draw_input_influence(np.array([1.0, -2.0, 3.0]), (3,), "inputs")
    assert [bar.get_height() for bar in figure.axes[0].patches] == [1.0, -2.0, 3.0]


def test_red_raises_the_score_and_blue_lowers_it():
    both = pixels_of(draw_strongest_edges(GRAPH, (2,), "graph"))
    edges = GRAPH.edges.assign(weight=GRAPH.edges["abs_weight"])
    neurons = GRAPH.neurons.assign(attribution=GRAPH.neurons["abs_attribution"])
    rising = pixels_of(draw_strongest_edges(replace(GRAPH, edges=edges, neurons=neurons), (2,), "graph"))
    assert share_of(RED, both) > 0.0005
    assert share_of(BLUE, both, tolerance=80) > share_of(BLUE, rising, tolerance=80)


@pytest.mark.parametrize(("shape", "is_image"), [((2, 1, 1), True), ((1, 2), True), ((2,), False), ((5, 5), False)])
def test_inputs_are_an_image_where_their_shape_is_that_of_one(shape: tuple[int, ...], is_image: bool):
    """A shape of another number of inputs is that of tokens, say, before they were embedded."""
    assert bool(draw_strongest_edges(GRAPH, shape, "graph").axes[0].images) == is_image


def test_the_title_is_clear_of_the_scale_of_colours():
    figure = draw_input_influence(np.arange(4.0), (2, 2), "share of the failure less share of good samples")
    figure.canvas.draw()
    title, scale = figure._suptitle.get_window_extent(), figure.axes[1].get_tightbbox()
    assert title.y0 >= scale.y1


def test_a_graph_without_influence_can_be_drawn():
    edges = GRAPH.edges.assign(weight=0.0, abs_weight=0.0)
    neurons = GRAPH.neurons.assign(attribution=0.0, abs_attribution=0.0)
    pixels_of(draw_strongest_edges(replace(GRAPH, edges=edges, neurons=neurons), (2,), "nothing"))
    pixels_of(draw_input_influence(np.zeros(4), (4,), "nothing"))


def test_a_picture_of_a_deep_network_has_a_bound():
    assert pixels_of(Figure(figsize=(100, 4))).shape[1] == pytest.approx(WIDEST, rel=0.01)  # with a margin


def test_a_table_in_markdown():
    table = pd.DataFrame(
        {"name": ["a|b", "c", "d"], "share": [1 / 3, 0.5, 1e-7], "path": [["x/0", "y/1"], [], ["z/2"]]}
    )
    assert table_metadata(table, rows=2).md_str.splitlines() == [
        "| name | share | path |",
        "|---|---|---|",
        r"| a\|b | 0.3333 | x/0 → y/1 |",
        "| c | 0.5 |  |",
        "",
        "1 more rows",
    ]
