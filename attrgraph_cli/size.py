"""`attrgraph db size`: what the store holds, by kind and by run, and the disk it takes."""

import sys

from rich.console import Console
from rich.table import Table

WIDTH_WITHOUT_TERMINAL = 160


def size() -> None:
    """Say how many nodes and relationships of each kind there are, how large each run is, and what is on disk.

    A graph's bytes are counted by its records, which Neo4j writes into its files up to a quarter of an hour later. The
    embedded server's files are measured too, those of a server of yours are not to be seen from here.
    """
    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.store.sizes import bytes_of_kinds, counted_bytes

    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_WITHOUT_TERMINAL)
    with GraphStore.open() as store:
        kinds, runs = store.sizes()
        is_embedded = store.connection.way == "embedded"
    counted = bytes_of_kinds(kinds)
    _say(console, f"graphs: {counted / 1e6:,.1f} MB, counted by their records")
    if is_embedded:
        _print_files(console, counted)
    counts = Table(title="nodes and relationships")
    counts.add_column("kind")
    counts.add_column("count", justify="right")
    for kind, count in kinds.itertuples(index=False):
        counts.add_row(str(kind).replace("[", r"\["), f"{count:,}")
    console.print(counts)
    table = Table(title="runs")
    for column in ("run", "status"):
        table.add_column(column, overflow="fold")
    for column in ("graphs", "neurons in them", "edges", "about"):
        table.add_column(column, justify="right")
    for run in runs.itertuples():
        about = f"{counted_bytes(run.state_count, run.edge_count) / 1e6:,.1f} MB"
        numbers = (f"{run.graph_count:,}", f"{run.state_count:,}", f"{run.edge_count:,}")
        table.add_row(str(run.run_id), str(run.status), *numbers, about)
    console.print(table if len(runs) else "There are no runs.")


def _print_files(console: Console, counted: int) -> None:
    from attrgraph_core.store.embedded.server import EmbeddedServer

    server = EmbeddedServer()
    files, all_files = server.database_bytes(), server.status().store_bytes
    waiting = ", less than they hold until Neo4j's next checkpoint" if files < counted else ""
    _say(console, f"on disk: files of graphs {files / 1e6:,.1f} MB{waiting}")
    _say(console, f"         with logs of transactions {all_files / 1e6:,.1f} MB ({server.home})")


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)
