"""Tables and pictures as asset metadata."""

import base64
import io
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


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
    figure.savefig(buffer, format="png", dpi=90, bbox_inches="tight")
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

    figure = Figure(figsize=(3.2, 2.8))
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
    axes.set_title(title, fontsize=9)
    return figure


def draw_attribution_graph(neurons: "pd.DataFrame", edges: "pd.DataFrame", title: str, most: int = 120) -> "Figure":
    """The strongest edges of a graph, layer by layer from the left: red for influence, blue for influence against."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5))
    axes = figure.subplots()
    layers = list(dict.fromkeys(neurons["layer"]))
    places: dict[tuple[str, int], tuple[float, float]] = {}
    for column, layer in enumerate(layers):
        own = neurons[neurons["layer"] == layer]
        heights = np.linspace(0, 1, len(own) + 2)[1:-1]
        places |= {(layer, int(i)): (column, -h) for i, h in zip(own["index"], heights, strict=True)}
        size = own["abs_attribution"] / (own["abs_attribution"].max() or 1.0)
        axes.scatter([column] * len(own), -heights, s=6 + 60 * size, color="#444444", zorder=3)
    pairs = edges.groupby(["source_layer", "target_layer"], sort=False)
    for _, own in pairs:
        strongest = own.nlargest(most // max(1, pairs.ngroups), "abs_weight")
        largest = strongest["abs_weight"].max() or 1.0
        for edge in strongest.itertuples():
            start, end = (
                places[(edge.source_layer, edge.source_index)],
                places[(edge.target_layer, edge.target_index)],
            )
            share = float(edge.abs_weight / largest)
            color = "#b2182b" if edge.weight > 0 else "#2166ac"
            axes.plot([start[0], end[0]], [start[1], end[1]], color=color, alpha=0.2 + 0.8 * share, lw=0.4 + 2 * share)
    axes.set_xticks(range(len(layers)), layers)
    axes.set_yticks([])
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(title, fontsize=10)
    return figure
