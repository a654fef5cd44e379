"""A query's answer as a picture: its neurons and edges as a layered attribution graph."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrgraph_core.errors import AttrGraphError

if TYPE_CHECKING:
    import pandas as pd

    from attrgraph_core.graph.attribution_graph import AttributionGraph


@dataclass(frozen=True)
class Pictures:
    """The files that are asked for; `image_shape` is that of the input, () for none, None to be found out."""

    png: Path | None
    svg: Path | None
    html: Path | None
    image_shape: tuple[int, ...] | None

    @property
    def paths(self) -> list[Path]:
        return [path for path in (self.png, self.svg, self.html) if path is not None]

    def check(self) -> None:
        """Raise AttrGraphError for a file of another kind than its name says, and a folder that is not there."""
        for path, kind in ((self.png, "png"), (self.svg, "svg"), (self.html, "html")):
            if path is not None and path.suffix.lower() != f".{kind}":
                raise AttrGraphError(f"--{kind} is {path}; it is the path of a .{kind} file")
        for path in self.paths:
            if not path.parent.is_dir():
                raise AttrGraphError(f"there is no folder {path.parent} to write {path.name} to")

    def draw(self, graph: "AttributionGraph", table: "pd.DataFrame", title: str) -> None:
        """Write the pictures of what a query returned from a graph, and say on stderr where they are."""
        from attrgraph_core.drawing.figure import draw_graph, save_picture
        from attrgraph_core.drawing.page import draw_page, save_page
        from attrgraph_core.drawing.subgraph import subgraph

        drawn = subgraph(graph, table)
        how: dict[str, Any] = {"title": title, "image_shape": self.image_shape}
        if "community" in table:
            how["communities"] = table
        for path, format in ((self.png, "png"), (self.svg, "svg")):
            if path is not None:
                save_picture(draw_graph(drawn, graph, **how), path, format)
        if self.html is not None:
            save_page(draw_page(drawn, graph, **how), self.html)
        for path in self.paths:
            print(f"wrote {path.absolute()}", file=sys.stderr)


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """`8x8` or `3x32x32`; `none` for inputs that are no image. Raises AttrGraphError for anything else."""
    if text is None or text == "none":
        return None if text is None else ()
    try:
        shape = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        shape = ()
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise AttrGraphError(f"--input-shape is {text!r}; it is rows x columns such as 28x28, 3x32x32, or none")
    return shape
