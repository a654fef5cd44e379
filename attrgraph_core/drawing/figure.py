"""A layered attribution graph as a figure of matplotlib: PNG, SVG, PDF.

Edges are as thick as their |weight| within their two layers, red where the influence raises the target's score and blue
where it lowers it; neurons are as large as their absolute attribution within their layer, of the sign's colour. An
image input is a heat map of its signed attribution, with a frame around each pixel that is drawn. Where a query found
communities, neurons and frames have the colour of theirs.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from attrgraph_core.drawing.communities import neuron_colours
from attrgraph_core.drawing.layout import Layout, image_shape_of, lay_out
from attrgraph_core.drawing.styles import AGAINST, FOR, drawn_edges, edge_strength, heat_map, neuron_size
from attrgraph_core.graph.attribution_graph import AttributionGraph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_GAP = 0.115  # inches between labels; where neurons are closer, only the strongest are named
MOST_LABELS = 12  # of such a layer
MOST_EDGES = 1500
DOTS_PER_INCH = 150


def draw_graph(
    drawn: AttributionGraph,
    whole: AttributionGraph | None = None,
    *,
    title: str = "",
    image_shape: tuple[int, ...] | None = None,
    most_edges: int = MOST_EDGES,
    communities: pd.DataFrame | None = None,
) -> "Figure":
    """A figure of the graph `drawn`, a part of `whole`, which gives an image input its heat map.

    Of more than `most_edges` edges the strongest of each two layers are drawn, and the caption says so. `image_shape`
    is that of `layout.image_shape_of`; an empty one draws the inputs as a column. `communities` is the table of that
    query, and colours its neurons.
    """
    from matplotlib.figure import Figure

    whole = whole or drawn
    inputs = whole.neurons[whole.neurons["layer"] == "input"]
    shape = image_shape_of(len(inputs), image_shape)
    layout = lay_out(drawn, list(dict.fromkeys(whole.neurons["layer"])), shape)
    figure = Figure(figsize=(layout.width, layout.height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, layout.width), ylim=(0, layout.height))
    axes.set_axis_off()
    colours, meaning = neuron_colours(layout, communities)
    if layout.image is not None and shape is not None:
        _draw_image(axes, layout, heat_map(inputs, shape), colours if meaning else None)
    kept = drawn_edges(layout, most_edges)
    _draw_edges(axes, layout, kept)
    _draw_neurons(axes, layout, colours)
    _draw_words(axes, layout, title, len(kept))
    _draw_meaning(axes, layout, meaning)
    return figure


def save_picture(figure: "Figure", path: Path, format: str = "png") -> None:
    """Write a figure as png, svg or pdf; a file is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(temporary, format=format, dpi=DOTS_PER_INCH)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _draw_image(axes: "Axes", layout: Layout, image: np.ndarray, colours: np.ndarray | None) -> None:
    from matplotlib.patches import Rectangle

    assert layout.image is not None
    (left, right, bottom, top), (rows, columns) = layout.image
    largest = float(np.abs(image).max()) or 1.0
    axes.imshow(
        image, extent=(left, right, bottom, top), cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", zorder=1
    )
    axes.set(xlim=(0, layout.width), ylim=(0, layout.height))  # imshow moves them
    axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, color="#999999", lw=0.6, zorder=2))
    wide, high = (right - left) / columns, (top - bottom) / rows
    for row in np.flatnonzero(layout.column_of == 0):
        corner = (layout.x[row] - wide / 2, layout.y[row] - high / 2)
        colour, width = ("#333333", 0.7) if colours is None else (colours[row], 1.4)
        axes.add_patch(Rectangle(corner, wide, high, fill=False, color=colour, lw=width, zorder=4))


def _draw_edges(axes: "Axes", layout: Layout, kept: np.ndarray) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.colors import to_rgba_array
    from matplotlib.path import Path as Curve

    strength = edge_strength(layout)[kept]
    order = np.argsort(strength, kind="stable")  # the strongest on top
    kept, strength = kept[order], strength[order]
    codes = [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
    curves = []
    for source, target in zip(layout.sources[kept], layout.targets[kept], strict=True):
        x0, y0, x1, y1 = layout.x[source], layout.y[source], layout.x[target], layout.y[target]
        reach = 0.45 * (x1 - x0)
        curves.append(Curve([(x0, y0), (x0 + reach, y0), (x1 - reach, y1), (x1, y1)], codes))
    weights = layout.graph.edges["weight"].to_numpy()[kept]
    colours = to_rgba_array([FOR if weight > 0 else AGAINST for weight in weights]) if len(kept) else np.empty((0, 4))
    crowd = min(1.0, (60 / max(1, len(kept))) ** 0.25)
    colours[:, 3] = (0.15 + 0.75 * strength) * crowd
    widths = (0.3 + 3.2 * strength) * crowd
    axes.add_collection(
        PathCollection(curves, facecolors="none", edgecolors=colours, linewidths=widths, zorder=3), autolim=False
    )


def _draw_neurons(axes: "Axes", layout: Layout, colours: np.ndarray) -> None:
    size = neuron_size(layout)
    for column in range(len(layout.layers)):
        own = layout.column_of == column
        if column == 0 and layout.image is not None:
            continue
        largest = min(13.0, 72 * layout.row_gap(column) * 0.8)  # points across
        across = largest * (0.35 + 0.65 * np.sqrt(size[own]))
        axes.scatter(
            layout.x[own],
            layout.y[own],
            s=across**2,
            c=colours[own],
            edgecolors="white",
            linewidths=0.05 * largest,
            zorder=5,
        )


def _draw_words(axes: "Axes", layout: Layout, title: str, edge_count: int) -> None:
    from matplotlib.patheffects import withStroke

    top = layout.height - 0.12
    total = len(layout.graph.edges)
    edges = f"{total} edges" if edge_count == total else f"the strongest {edge_count} of {total} edges"
    axes.text(
        layout.width / 2, 0.1, f"{edges}; red raises the score, blue lowers it; |weight| relative within two layers",
        ha="center", va="bottom", fontsize=6.5, color="#555555", wrap=True,
    )  # fmt: skip
    if title:
        axes.text(layout.width / 2, top, title, ha="center", va="top", fontsize=8.5, color="#222222")
    _, counts = np.unique(layout.column_of, return_counts=True)
    for column, layer in enumerate(layout.layers):
        axes.text(
            layout.column_x[column], top - 0.24, f"{_shortened(layer)}\n{counts[column]}", ha="center", va="top",
            fontsize=7.5, color="#222222", linespacing=1.15,
        )  # fmt: skip
        if column == 0 and layout.image is not None:
            continue
        is_last = column == len(layout.layers) - 1
        size = min(7.0, 60 * max(layout.row_gap(column), LABEL_GAP))
        for row in _labelled(layout, column):
            index = layout.graph.neurons["index"].iloc[row]
            label = axes.text(
                layout.x[row] + (0.13 if is_last else -0.13), layout.y[row], str(index), zorder=6,
                ha="left" if is_last else "right", va="center", fontsize=size, color="#222222",
            )  # fmt: skip
            label.set_path_effects([withStroke(linewidth=1.6, foreground="white")])  # legible over edges


def _draw_meaning(axes: "Axes", layout: Layout, meaning: dict[str, str]) -> None:
    """A line of what the colours of communities mean, above the caption."""
    place = (np.arange(len(meaning)) + 0.5) / max(1, len(meaning))
    for at, (words, colour) in zip(place, meaning.items(), strict=True):
        axes.text(at * layout.width, 0.24, f"● {words}", ha="center", va="bottom", fontsize=6.5, color=colour, zorder=6)


def _labelled(layout: Layout, column: int) -> list[int]:
    """The rows of the neurons of a column whose index is written beside them: all, or the strongest that have room."""
    rows = np.flatnonzero(layout.column_of == column)
    if layout.row_gap(column) >= LABEL_GAP:
        return [int(row) for row in rows]
    chosen: list[int] = []
    for row in rows[np.argsort(-neuron_size(layout)[rows], kind="stable")]:
        if len(chosen) < MOST_LABELS and np.abs(layout.y[chosen] - layout.y[row]).min(initial=np.inf) >= LABEL_GAP:
            chosen.append(int(row))
    return chosen


def _shortened(layer: str, most: int = 20) -> str:
    return layer if len(layer) <= most else f"...{layer[-most + 3 :]}"
