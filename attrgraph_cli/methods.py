"""`attrgraph methods`: what each attribution method needs, keeps and costs."""

import csv
import json
import sys
from enum import StrEnum
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from attrgraph_core.attribution.properties import ANALYSES, PROPERTIES, MethodProperties
from attrgraph_core.errors import AttrGraphError

WIDE = 150  # columns of a terminal that shows everything in one table
COLUMNS = {
    "method": "name", "makes": "makes", "needs": "needs", "conserves": "conserves", "passes a sample": "passes",
    "strengths": "strengths", "weaknesses": "weaknesses", "cost claimed": "cost_class",
    "interpretability": "interpretability",
}  # fmt: skip
MEASURED = "x a training step"


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


def methods(
    names: Annotated[list[str] | None, typer.Argument(help="Methods to show; all by default.")] = None,
    measure: Annotated[
        bool, typer.Option(help="Measure the costs on this machine; takes some seconds a method.")
    ] = True,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print the rows.")] = Format.table,
) -> None:
    """Show the attribution methods: what they need, what they conserve, what is claimed and what they cost here.

    The measured cost is the time of a graph of a small MLP over that of a training step of the same batch. The last
    rows are analyses beside the methods; ablation's cost is that of all edges, one by one.
    """
    rows = _asked(names or [])
    costs = _measured(rows) if measure else {}
    records = [_record(row, costs) for row in rows]
    if format is Format.json:
        print(json.dumps(records, indent=2))
    elif format is Format.csv:
        writer = csv.DictWriter(sys.stdout, [*COLUMNS, MEASURED], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    else:
        _print(records, Console())


def _asked(names: list[str]) -> list[MethodProperties]:
    known = {row.name: row for row in (*PROPERTIES, *ANALYSES)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise AttrGraphError(f"unknown attribution method {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return [known[name] for name in names or known]


def _measured(rows: list[MethodProperties]) -> dict[str, float]:
    from attrgraph_core.attribution.costs import measure_costs

    costs: dict[str, float] = {}
    with Console(stderr=True).status("measuring") as status:
        for number, row in enumerate(rows, start=1):
            status.update(f"measuring {row.name} ({number} of {len(rows)})")
            costs |= measure_costs([row.name])
    return costs


def _record(row: MethodProperties, costs: dict[str, float]) -> dict[str, Any]:
    """A row by column; the measured cost is a number, None where it was not measured."""
    cost = costs.get(row.name)
    return {column: getattr(row, name) for column, name in COLUMNS.items()} | {
        MEASURED: None if cost is None else float(f"{cost:.3g}")
    }


def _print(records: list[dict[str, Any]], console: Console) -> None:
    """One table where the terminal is wide; else what a method makes and costs, and the rest in words below."""
    if console.width >= WIDE:
        console.print(_table(records, [*COLUMNS, MEASURED], lines=True))
        return
    console.print(_table(records, ["method", "makes", "cost claimed", MEASURED], lines=False))
    for record in records:
        console.print(f"\n[bold]{record['method']}[/bold]", highlight=False)
        for column in ("needs", "conserves", "passes a sample", "strengths", "weaknesses", "interpretability"):
            console.print(Padding(Text(f"{column}: {record[column]}"), (0, 0, 0, 2)))


def _table(records: list[dict[str, Any]], columns: list[str], lines: bool) -> Table:
    table = Table(title="Attribution methods", show_lines=lines)
    for column in columns:
        is_words = column in ("needs", "conserves", "passes a sample", "strengths", "weaknesses", MEASURED)
        justify: Literal["left", "right"] = "right" if column == MEASURED else "left"
        table.add_column(column, overflow="fold", no_wrap=not is_words, justify=justify)
    for record in records:
        table.add_row(*(escape(_text(record[column])) for column in columns))
    return table


def _text(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, float):
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return str(value)
