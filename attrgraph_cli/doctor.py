"""`attrgraph db doctor`: looks the store over and says what to change."""

import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import resolve_connection

EXIT_CODE_TO_CHANGE = 1
COLOURS = {"good": "green", "advice": "yellow", "change": "red"}


def doctor(
    problems: Annotated[bool, typer.Option("--problems", help="Show only what is not good.")] = False,
) -> None:
    """Look at versions, schema, indexes, memory, disk, files and graphs left behind; say what to change.

    Nothing is changed. Exit code 1 where something must be changed, 0 where all is good or could merely be better.
    """
    from attrgraph_core.store.doctor import Finding, State, examine, examine_files
    from attrgraph_core.store.embedded.server import EmbeddedServer

    embedded = EmbeddedServer() if not os.environ.get("NEO4J_URI") else None
    try:
        findings = examine(resolve_connection(console=Console(stderr=True)), embedded)
    except AttrGraphError as error:
        findings = examine_files(embedded) if embedded is not None else []
        if all(finding.state is not State.change for finding in findings):
            raise
        # Files that are open to others are why no connection is made: the way out is theirs.
        findings.append(Finding("server", State.change, "not asked", str(error)))
    table = Table(box=None)
    for column in ("looked at", "is", "found", "way out"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        if not problems or finding.state is not State.good:
            colour = COLOURS[finding.state]
            table.add_row(finding.what, f"[{colour}]{finding.state}[/]", finding.found, finding.way_out)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    if table.row_count:
        console.print(table)
    to_change = sum(finding.state is State.change for finding in findings)
    if to_change:
        typer.echo(f"{to_change} to change.")
        raise typer.Exit(EXIT_CODE_TO_CHANGE)
    typer.echo("Nothing must be changed.")
