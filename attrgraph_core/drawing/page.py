"""A layered attribution graph as one HTML file that needs no network: zoom, pan, and numbers under the pointer.

The same layout and colours as `drawing.figure`, by plotly, whose script (5 MB) is in the file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from attrgraph_core.drawing.communities import neuron_colours
from attrgraph_core.drawing.figure import MOST_EDGES
from attrgraph_core.drawing.layout import Layout, image_shape_of, lay_out
from attrgraph_core.drawing.styles import AGAINST, FOR, drawn_edges, edge_strength, heat_map, neuron_size
from attrgraph_core.graph.attribution_graph import AttributionGraph

if TYPE_CHECKING:
    import plotly.graph_objects as go

CURVE_POINTS = 13
THICKNESSES = 6  # plotly has one thickness a line: edges of about the same are drawn together
PIXELS_PER_INCH = 90


def draw_page(
    drawn: AttributionGraph,
    whole: AttributionGraph | None = None,
    *,
    title: str = "",
    image_shape: tuple[int, ...] | None = None,
    most_edges: int = MOST_EDGES,
    communities: pd.DataFrame | None = None,
) -> "go.Figure":
    """A figure of plotly; arguments as `figure.draw_graph`."""
    import plotly.graph_objects as go

    whole = whole or drawn
    inputs = whole.neurons[whole.neurons["layer"] == "input"]
    shape = image_shape_of(len(inputs), image_shape)
    layout = lay_out(drawn, list(dict.fromkeys(whole.neurons["layer"])), shape)
    kept = drawn_edges(layout, most_edges)
    page = go.Figure()
    if layout.image is not None and shape is not None:
        page.add_trace(_image(layout, heat_map(inputs, shape)))
    colours, meaning = neuron_colours(layout, communities)
    page.add_traces([*_edges(layout, kept), _edge_numbers(layout, kept), _neurons(layout, colours, meaning)])
    page.update_layout(
        title={"text": title, "x": 0.5, "font": {"size": 14}},
        width=layout.width * PIXELS_PER_INCH, height=layout.height * PIXELS_PER_INCH + 60, showlegend=False,
        plot_bgcolor="white", margin={"l": 10, "r": 10, "t": 60, "b": 10}, hovermode="closest",
        xaxis={"visible": False, "range": [0, layout.width]},
        yaxis={"visible": False, "range": [0, layout.height], "scaleanchor": "x"},
    )  # fmt: skip
    counts = np.bincount(layout.column_of)
    for column, layer in enumerate(layout.layers):
        page.add_annotation(
            x=layout.column_x[column], y=layout.height - 0.3, text=f"{layer}<br>{counts[column]}", showarrow=False
        )
    return page


def save_page(page: "go.Figure", path: Path) -> None:
    """Write a page; a file is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        page.write_html(temporary, include_plotlyjs=True)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _image(layout: Layout, image: np.ndarray) -> "go.Heatmap":
    import plotly.graph_objects as go

    assert layout.image is not None
    (left, right, bottom, top), (rows, columns) = layout.image
    largest = float(np.abs(image).max()) or 1.0
    return go.Heatmap(
        z=image, zmin=-largest, zmax=largest, colorscale="RdBu_r", showscale=False,
        x=left + (np.arange(columns) + 0.5) * (right - left) / columns,
        y=top - (np.arange(rows) + 0.5) * (top - bottom) / rows,
        customdata=np.arange(rows * columns).reshape(rows, columns),
        hovertemplate="input/%{customdata}<br>attribution %{z:.4g}<extra></extra>",
    )  # fmt: skip


def _edges(layout: Layout, kept: np.ndarray) -> "list[go.Scatter]":
    """A line a sign and thickness, each of many curves with gaps between."""
    import plotly.graph_objects as go

    strength = edge_strength(layout)[kept]
    weights = layout.graph.edges["weight"].to_numpy()[kept]
    level = np.ceil(strength * THICKNESSES).clip(1, THICKNESSES).astype(int)
    lines = []
    for thickness in range(1, THICKNESSES + 1):
        for is_for in (False, True):
            own = kept[(level == thickness) & ((weights > 0) == is_for)]
            if len(own):
                x, y = _curves(layout, own)
                line = {"color": FOR if is_for else AGAINST, "width": 0.5 + 4 * thickness / THICKNESSES}
                opacity = 0.15 + 0.75 * thickness / THICKNESSES
                lines.append(go.Scatter(x=x, y=y, mode="lines", line=line, opacity=opacity, hoverinfo="skip"))
    return lines


def _curves(layout: Layout, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    along = np.linspace(0, 1, CURVE_POINTS)
    eased = along * along * (3 - 2 * along)
    x0, x1 = layout.x[layout.sources[edges], None], layout.x[layout.targets[edges], None]
    y0, y1 = layout.y[layout.sources[edges], None], layout.y[layout.targets[edges], None]
    gap = np.full((len(edges), 1), np.nan)
    x, y = x0 + (x1 - x0) * along, y0 + (y1 - y0) * eased
    return np.hstack([x, gap]).ravel(), np.hstack([y, gap]).ravel()


def _edge_numbers(layout: Layout, kept: np.ndarray) -> "go.Scatter":
    """Points in the middle of edges, unseen, that tell the weight."""
    import plotly.graph_objects as go

    edges = layout.graph.edges.iloc[kept]
    words = [
        f"{edge.source_layer}/{edge.source_index} to {edge.target_layer}/{edge.target_index}<br>weight "
        f"{edge.weight:.4g}, absolute {edge.abs_weight:.4g}"
        for edge in edges.itertuples()
    ]
    return go.Scatter(
        x=(layout.x[layout.sources[kept]] + layout.x[layout.targets[kept]]) / 2,
        y=(layout.y[layout.sources[kept]] + layout.y[layout.targets[kept]]) / 2,
        mode="markers", marker={"size": 9, "opacity": 0}, text=words, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _neurons(layout: Layout, colours: np.ndarray, meaning: dict[str, str]) -> "go.Scatter":
    import plotly.graph_objects as go

    neurons = layout.graph.neurons
    gaps = np.array([layout.row_gap(column) for column in range(len(layout.layers))])
    largest = np.minimum(16.0, PIXELS_PER_INCH * gaps[layout.column_of] * 0.8)
    words = [
        f"{row.layer}/{row.place} ({row.kind})<br>attribution {row.attribution:.4g}, absolute {row.abs_attribution:.4g}"
        for row in neurons.rename(columns={"index": "place"}).itertuples()
    ]
    if meaning:
        community = {colour: word for word, colour in meaning.items()}
        words = [f"{word}<br>community {community[colour]}" for word, colour in zip(words, colours, strict=True)]
    is_pixel = (layout.column_of == 0) & (layout.image is not None)
    marker = {
        "size": largest * (0.35 + 0.65 * np.sqrt(neuron_size(layout))),
        "color": colours,
        "symbol": np.where(is_pixel, "square-open", "circle"),
        "line": {"color": np.where(is_pixel, colours if meaning else "#333333", "white"), "width": 1},
        "opacity": 1,
    }
    return go.Scatter(
        x=layout.x, y=layout.y, mode="markers", marker=marker, text=words, hovertemplate="%{text}<extra></extra>"
    )
