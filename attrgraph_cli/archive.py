"""`attrgraph db export` and `import`: runs as a folder of Parquet files."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attrgraph_cli.progress_bars import progress_bars
from attrgraph_core.errors import AttrGraphError
from pipelines.progress import report_progress


class Way(StrEnum):
    """How an archive gets into the store."""

    auto = "auto"
    offline = "offline"
    server = "server"


def export(
    folder: Annotated[Path, typer.Argument(help="The new folder to write.")],
    run: Annotated[list[str] | None, typer.Option(help="Only this run, by id or name; may be repeated.")] = None,
) -> None:
    """Write runs, with everything that hangs on them, to a folder of Parquet files; all runs without --run.

    A table a file, for pandas, Polars or DuckDB to read, and a manifest with counts and SHA-256 sums. Only complete
    graphs are written. Interrupted, it leaves nothing.

    Example: attrgraph db export digits_archive --run digits-seed-0-1a2b3c4d
    """
    from attrgraph_core.store.graph_store import GraphStore

    console = Console(stderr=True)
    with GraphStore.open() as store, progress_bars(console):
        manifest = store.export_runs(folder, run and [store.find_run(given) for given in run], report_progress)
    size = sum(file.bytes for file in manifest.files.values())
    rows = {name: file.rows for name, file in manifest.files.items()}
    typer.echo(
        f"{folder}: {rows['runs']} runs, {rows['graphs']} graphs, {rows['edges']:,} edges, {size / 1e6:,.1f} MB. "
        f"Load it: attrgraph db import {folder}"
    )
    if manifest.left_out_matches:
        typer.echo(
            f"{manifest.left_out_matches:,} matches with neurons of runs that are not in the archive are left out; "
            "export those runs with it to keep them."
        )


def import_(
    folder: Annotated[Path, typer.Argument(help="A folder that `attrgraph db export` wrote.")],
    way: Annotated[Way, typer.Option(help="Neo4j's offline importer, the server, or what is faster.")] = Way.auto,
) -> None:
    """Load an archive of runs. A run that is in the store already is refused; so is a damaged archive, unread.

    Into an empty embedded server it goes by Neo4j's offline importer, for which the server stops a moment; else through
    the server, beside what is there. Interrupted, the same command goes on.
    """
    from attrgraph_core.store.archive.manifest import check_archive
    from attrgraph_core.store.archive.offline import import_offline
    from attrgraph_core.store.embedded.server import EmbeddedServer
    from attrgraph_core.store.graph_store import GraphStore

    console = Console(stderr=True)
    check_archive(folder)
    reason = _why_through_the_server(way, console)
    with progress_bars(console):
        if reason is None:
            manifest = import_offline(EmbeddedServer(), folder, report_progress)
        else:
            console.print(f"through the server: {reason}", highlight=False, soft_wrap=True)
            with GraphStore.open() as store:
                manifest = store.import_runs(folder, report_progress)
    rows = {name: file.rows for name, file in manifest.files.items()}
    typer.echo(f"{rows['runs']} runs with {rows['graphs']} graphs and {rows['edges']:,} edges are in the store.")


def _why_through_the_server(way: Way, console: Console) -> str | None:
    """Why the offline importer is not used, or None where it is. Raises AttrGraphError where it must be and cannot."""
    from attrgraph_core.store.archive.offline import holds_nothing
    from attrgraph_core.store.connection import resolve_connection

    if way is Way.server:
        return "--way server"
    if os.environ.get("NEO4J_URI"):
        reason = "NEO4J_URI names a server of yours, whose files are not to be touched from here"
    elif not holds_nothing(resolve_connection(console=console)):
        reason = "the store is not empty, and the offline importer makes a store from nothing"
    else:
        return None
    if way is Way.offline:
        raise AttrGraphError(
            f"{reason}; import through the server (--way server), or into another home (ATTRGRAPH_NEO4J_HOME)"
        )
    return reason
