"""Where a graph's neurons are drawn: a column a layer, from the input on the left; image inputs at their pixels.

Lengths are inches. Within a column neurons are put near those that they are joined to (the barycentre heuristic of
Sugiyama et al., 1981), so that fewer edges cross.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.canonical_graph import canonical_graph

COLUMN_GAP, MARGIN, HEADER = 2.1, 0.45, 0.75
IMAGE_SIDE = 3.0
SMALLEST_HEIGHT, LARGEST_HEIGHT = 3.4, 11.0
ROW_GAP = 0.3  # between neurons, where there is room
SWEEPS = 6
SMALLEST_IMAGE = 16  # pixels: fewer inputs that are a square number are features

Box = tuple[float, float, float, float]  # left, right, bottom, top


@dataclass(frozen=True, eq=False)
class Layout:
    """`x` and `y` (neurons,) in the order of `graph.neurons`; `sources` and `targets` (edges,) are rows of them.

    `column_of` (neurons,) is a place in `layers`, `column_x` (layers,) where it is drawn. `image` is the box of an
    image input and its shape (rows, columns), or None.
    """

    graph: AttributionGraph
    layers: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    column_of: np.ndarray
    column_x: np.ndarray
    width: float
    height: float
    image: tuple[Box, tuple[int, int]] | None

    def row_gap(self, column: int) -> float:
        """The least distance between two neurons of a column."""
        rows = np.sort(self.y[self.column_of == column])
        return float(np.diff(rows).min()) if len(rows) > 1 else ROW_GAP


def lay_out(graph: AttributionGraph, layers: Sequence[str], image_shape: tuple[int, ...] | None = None) -> Layout:
    """A layout of the neurons of `graph`, whose layers come in the order of `layers`.

    `image_shape` (rows, columns) or (channels, rows, columns) is that of the input where it is an image.
    """
    place = {layer: number for number, layer in enumerate(layers)}
    ordered = graph.neurons.sort_values("layer", key=lambda names: names.map(place), kind="stable")
    canonical = canonical_graph(AttributionGraph(**{**graph.__dict__, "neurons": ordered.reset_index(drop=True)}))
    neurons = canonical.graph.neurons
    column_of = neurons["layer"].map({layer: number for number, layer in enumerate(canonical.layers)}).to_numpy()
    counts = np.bincount(column_of)
    is_image = image_shape is not None and canonical.layers[0] == "input"
    tallest = max([int(count) for number, count in enumerate(counts) if number or not is_image], default=1)
    body = float(np.clip(tallest * ROW_GAP, SMALLEST_HEIGHT - HEADER - MARGIN, LARGEST_HEIGHT - HEADER - MARGIN))
    column_x = MARGIN + 0.15 + COLUMN_GAP * np.arange(len(counts))
    if is_image:
        assert image_shape is not None
        body = max(body, IMAGE_SIDE * min(1.0, image_shape[-2] / image_shape[-1]))
        column_x = np.where(np.arange(len(counts)) == 0, MARGIN + IMAGE_SIDE / 2, column_x + IMAGE_SIDE - 0.15)
    rank = _ranks(column_of, canonical.sources, canonical.targets, canonical.graph.edges["abs_weight"].to_numpy())
    y = MARGIN + body * (1 - (rank + 0.5) / counts[column_of])
    x = column_x[column_of].astype(float)
    image = None
    if is_image:
        assert image_shape is not None
        image = _place_image(neurons, column_of, x, y, body, image_shape)
    return Layout(
        graph=canonical.graph, layers=canonical.layers, x=x, y=y, sources=canonical.sources, targets=canonical.targets,
        column_of=column_of, column_x=column_x, width=float(column_x[-1]) + MARGIN + 0.15,
        height=body + MARGIN + HEADER, image=image,
    )  # fmt: skip


def image_shape_of(inputs: int, given: Sequence[int] | None = None) -> tuple[int, ...] | None:
    """The shape of an image of so many inputs: the one given, or a square where the number is one, else none.

    An empty one given is none, too. Raises AttrGraphError for a shape of another number of inputs.
    """
    if given is None:
        side = round(inputs**0.5)
        return (side, side) if side * side == inputs >= SMALLEST_IMAGE else None
    if not given:
        return None
    if len(given) not in (2, 3) or int(np.prod(given)) != inputs:
        raise AttrGraphError(
            f"an image of shape {'x'.join(map(str, given))} has not the graph's {inputs} inputs; give rows x columns, "
            "or channels x rows x columns"
        )
    return tuple(given)


def _place_image(
    neurons: pd.DataFrame, column_of: np.ndarray, x: np.ndarray, y: np.ndarray, body: float, shape: tuple[int, ...]
) -> tuple[Box, tuple[int, int]]:
    """Put the input's neurons at their pixels; where the image is."""
    rows, columns = shape[-2:]
    height = IMAGE_SIDE * min(1.0, rows / columns)
    width = IMAGE_SIDE * min(1.0, columns / rows)
    left, bottom = MARGIN, MARGIN + (body - height) / 2
    own = column_of == 0
    pixel = neurons["index"].to_numpy()[own] % (rows * columns)
    x[own] = left + (pixel % columns + 0.5) * width / columns
    y[own] = bottom + height - (pixel // columns + 0.5) * height / rows
    return (left, left + width, bottom, bottom + height), (rows, columns)


def _ranks(column_of: np.ndarray, sources: np.ndarray, targets: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """The place of each neuron in its column, from the top, (neurons,)."""
    counts = np.bincount(column_of)
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(column_of), dtype=float) - starts[column_of]
    for sweep in range(SWEEPS):
        own, others = (targets, sources) if sweep % 2 == 0 else (sources, targets)
        relative = (rank + 0.5) / counts[column_of]
        total = np.bincount(own, weights=masses, minlength=len(rank))
        mean = np.bincount(own, weights=masses * relative[others], minlength=len(rank))
        centre = np.divide(mean, total, out=relative.copy(), where=total > 0)
        order = np.lexsort((rank, centre, column_of))
        rank = np.empty(len(rank))
        rank[order] = np.arange(len(order)) - starts[column_of[order]]
    return rank
