"""`attrgraph db backup` and `restore`: the embedded server's graphs as one file."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attrgraph_core.errors import AttrGraphError


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write the backup, such as graphs.dump.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Dump the embedded server's graphs into a file. The server stops for it, and starts again if it ran.

    The file is what `neo4j-admin database dump` writes, and any Neo4j of 5.26 or later loads it. It holds the graphs,
    not the password.
    """
    from attrgraph_core.store.embedded.backup import backup as back_up
    from attrgraph_core.store.embedded.server import EmbeddedServer

    _refuse_outside_server("neo4j-admin database dump")
    console = Console(stderr=True)
    with console.status("backing up"):
        size = back_up(EmbeddedServer(), file, force, console)
    typer.echo(f"{file}: {size / 1e6:,.1f} MB. Put it back: attrgraph db restore {file}")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup that `attrgraph db backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the graphs that are there, all of them.")] = False,
) -> None:
    """Put the graphs of a backup into the embedded server. The store of before is kept until the new one is whole."""
    from attrgraph_core.store.embedded.backup import restore as put_back
    from attrgraph_core.store.embedded.server import EmbeddedServer

    _refuse_outside_server("neo4j-admin database load")
    server = EmbeddedServer()
    console = Console(stderr=True)
    with console.status("restoring"):
        put_back(server, file, force, console)
    typer.echo(f"{server.home} holds the graphs of {file}. An older schema is brought up: attrgraph db migrate")


def _refuse_outside_server(command: str) -> None:
    if os.environ.get("NEO4J_URI"):
        raise AttrGraphError(
            f"NEO4J_URI is set: a server of your own is backed up where it runs, by `{command}`, or in Aura's console. "
            "Unset NEO4J_URI for the embedded server"
        )
