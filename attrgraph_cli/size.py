"""`attrgraph db size`: what the store holds, by kind and by run, and the disk it takes."""

import sys

from rich.console import Console
from rich.table import Table

WIDTH_WITHOUT_TERMINAL = 160


def size() -> None:
    """Say how many nodes and relationships of each kind there are, how large each run is, and what is on disk.

    The embedded server's files are measured, those of a server of yours are not to be seen from here. A run's part of
    the disk is taken by its edges, which are most of it.
    """
    from attrgraph_core.store.graph_store import GraphStore

    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_WITHOUT_TERMINAL)
    with GraphStore.open() as store:
        kinds, runs = store.sizes()
        graph_bytes = _embedded_bytes(console) if store.connection.way == "embedded" else None
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
    all_edges = int(runs["edge_count"].sum())
    for run in runs.itertuples():
        share = (
            "" if graph_bytes is None or not all_edges else f"{graph_bytes * run.edge_count / all_edges / 1e6:,.1f} MB"
        )
        counted = (f"{run.graph_count:,}", f"{run.state_count:,}", f"{run.edge_count:,}")
        table.add_row(str(run.run_id), str(run.status), *counted, share)
    console.print(table if len(runs) else "There are no runs.")


def _embedded_bytes(console: Console) -> int:
    from attrgraph_core.store.embedded.server import EmbeddedServer

    server = EmbeddedServer()
    graph_bytes, all_bytes = server.database_bytes(), server.status().store_bytes
    console.print(
        f"on disk: graphs {graph_bytes / 1e6:,.1f} MB, with logs of transactions {all_bytes / 1e6:,.1f} MB "
        f"({server.home})",
        highlight=False,
        soft_wrap=True,
    )
    return graph_bytes
