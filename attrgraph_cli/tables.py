"""A table of data in the terminal."""

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd


def print_table(rows: "pd.DataFrame") -> None:
    """Print all rows; figures with four digits, what is missing as nothing."""
    console = Console() if sys.stdout.isatty() else Console(width=240)
    table = Table(box=None)
    for column in rows.columns:
        table.add_column(str(column), justify="right" if rows[column].dtype.kind in "if" else "left", overflow="fold")
    for row in rows.itertuples(index=False):
        table.add_row(*(Text(_text(value)) for value in row))
    console.print(table)


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
