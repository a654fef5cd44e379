"""Tables and pictures as asset metadata."""

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from attrgraph_core.graph.attribution_graph import AttributionGraph

MOST_EDGES = 300  # of a picture in Dagster's UI
WIDEST = 1800  # pixels of one: it is kept in Dagster's history


def table_metadata(table: "pd.DataFrame", rows: int = 20) -> dg.MarkdownMetadataValue:
    """The first rows of a table in markdown."""
    shown = table.head(rows)
    lines = ["| " + " | ".join(map(str, shown.columns)) + " |", "|" + "---|" * len(shown.columns)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in shown.itertuples(index=False)]
    if len(table) > rows:
        lines.append(f"\n{len(table) - rows} more rows")
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " → ".join(map(str, value))
    return str(value).replace("|", "\\|")


def picture_metadata(figure: "Figure") -> dg.MarkdownMetadataValue:
    """A figure as a picture inside markdown, which the UI shows in place."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=min(90, WIDEST / figure.get_figwidth()), bbox_inches="tight")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{encoded})")


def draw_epochs(epochs: list[int], losses: list[float], accuracies: list[float]) -> "Figure":
    """Training loss and test accuracy over the epochs of a stage."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.6))
    left, right = figure.subplots(1, 2)
    left.plot(epochs, losses, marker="o", color="#8c2d04")
    left.set(title="training loss", xlabel="epoch")
    right.plot(epochs, accuracies, marker="o", color="#08519c")
    right.set(title="test accuracy", xlabel="epoch")
    figure.tight_layout()
    return figure


def draw_input_influence(values: Any, shape: tuple[int, ...], title: str) -> "Figure":
    """Signed attribution of the input neurons, as an image where the input is a square one, else as bars."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2, 2.8), layout="constrained")
    axes = figure.subplots()
    side = round(len(values) ** 0.5)
    planes = shape if len(shape) > 1 else (side, side) if side * side == len(values) else None
    largest = float(np.abs(values).max()) or 1.0
    if planes is None:
        axes.bar(range(len(values)), values)
    else:
        image = np.asarray(values).reshape(planes)
        image = image.sum(axis=0) if image.ndim == 3 else image
        figure.colorbar(axes.imshow(image, cmap="RdBu_r", vmin=-largest, vmax=largest))
        axes.set(xticks=[], yticks=[])
    figure.suptitle(title, fontsize=9)  # over the scale of colours, too, which a title of the axes would run into
    return figure


def draw_strongest_edges(graph: "AttributionGraph", shape: tuple[int, ...], title: str) -> "Figure":
    """The strongest edges of a graph between its layers; inputs of the `shape` of an image are drawn as one."""
    from attrgraph_core.drawing.figure import draw_graph

    inputs = int((graph.neurons["layer"] == "input").sum())
    is_image = len(shape) in (2, 3) and math.prod(shape) == inputs
    return draw_graph(graph, title=title, image_shape=shape if is_image else None, most_edges=MOST_EDGES)
