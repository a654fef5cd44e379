"""The rows of an answer, on the terminal or in a file.

A table that is wider than the terminal is cut into pieces that nobody can read. So where its columns have no room, each
row is shown as lines of a column and its value, as psql does.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

PIPE_WIDTH = 200  # piped, a table must not be cut to a terminal's width that is not there
LONG_CELL = 20  # longer texts, such as ids and paths, may be folded, numbers and names of columns not
PADDING = 3  # of a column: its border, and a blank at each side


class Format(StrEnum):
    """`auto` is `table`, or `rows` where the table has no room."""

    auto = "auto"
    table = "table"
    rows = "rows"
    json = "json"
    csv = "csv"
    parquet = "parquet"


def print_rows(table: "pd.DataFrame", format: Format, output: Path | None) -> None:
    """Show rows, or write them to a file; parquet needs one."""
    if format is Format.parquet:
        assert output is not None
        table.to_parquet(output)
        return
    if format is Format.json:
        text = table.to_json(orient="records", indent=1) + "\n"
    elif format is Format.csv:
        text = table.to_csv(index=False)
    elif output is None:
        _show(table, format, Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH))
        return
    elif format is Format.rows:
        text = "\n".join(_lines(table)) + "\n"
    else:
        text = table.to_string(index=False) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def _show(table: "pd.DataFrame", format: Format, console: Console) -> None:
    names = list(map(str, table.columns))
    if not _has_room(table, names, console.width):
        names = list(map(_folded, names))
    if format is Format.rows or (format is Format.auto and len(table) and not _has_room(table, names, console.width)):
        for line in _lines(table):
            console.print(Text(line), soft_wrap=True)
    else:
        shown = Table()
        for place, (name, width) in enumerate(zip(names, _least_widths(table, names), strict=True)):
            justify: Literal["left", "right"] = "right" if table.iloc[:, place].dtype.kind in "if" else "left"
            shown.add_column(Text(name), overflow="fold", min_width=width, justify=justify)
        for row in table.itertuples(index=False):
            shown.add_row(*(Text(_cell(value)) for value in row))
        console.print(shown)
    console.print(f"{len(table)} {'row' if len(table) == 1 else 'rows'}", style="dim", highlight=False)


def _has_room(table: "pd.DataFrame", names: list[str], width: int) -> bool:
    return sum(_least_widths(table, names)) + PADDING * len(names) + 1 <= width


def _least_widths(table: "pd.DataFrame", names: list[str]) -> list[int]:
    """Characters that each column takes at least."""
    cells = [max((len(_cell(value)) for value in table.iloc[:, place]), default=0) for place in range(len(names))]
    headers = [max(map(len, name.split("\n"))) for name in names]
    return [max(header, min(cell, LONG_CELL)) for header, cell in zip(headers, cells, strict=True)]


def _folded(name: str) -> str:
    """A long name in two lines, cut at the underscore next to its middle."""
    cuts = [place for place, letter in enumerate(name) if letter == "_"]
    if len(name) <= 12 or not cuts:
        return name
    cut = min(cuts, key=lambda place: abs(place - len(name) // 2))
    return f"{name[: cut + 1]}\n{name[cut + 1 :]}"


def _lines(table: "pd.DataFrame") -> list[str]:
    """Each row as lines `column  value` below a line with its number."""
    longest = max((len(str(column)) for column in table.columns), default=0)
    lines = []
    for number, row in enumerate(table.itertuples(index=False), start=1):
        lines.append(f"── {number} ".ljust(longest + 2, "─"))
        named = zip(table.columns, row, strict=True)
        lines += [f"{column!s:<{longest}}  {_cell(value)}".rstrip() for column, value in named]
    return lines


def _cell(value: Any) -> str:
    if value is None or value is True or value is False:
        return "" if value is None else str(value)
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    if isinstance(value, list):
        is_numbers = all(isinstance(part, float) for part in value)
        return " ".join(f"{part:.3g}" for part in value) if is_numbers else " → ".join(map(str, value))
    return str(value)
