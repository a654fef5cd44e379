"""`attrgraph db`: the graph store's server, from the command line."""

import os
from dataclasses import dataclass
from typing import Annotated

import neo4j
import typer
from neo4j.exceptions import DriverError, Neo4jError
from rich.console import Console

from attrgraph_cli import archive, backup, doctor, migrate, prune, size
from attrgraph_cli.cypher_shell import WIDTH_WITHOUT_TERMINAL, run_shell
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection, describe_driver_error, resolve_connection, verify
from attrgraph_core.store.embedded.server import STOP_TIMEOUT_SECONDS, EmbeddedServer, ServerStatus

EXIT_CODE_NOT_RUNNING = 3
SHELL_TIMEOUT_SECONDS = 60.0

app = typer.Typer(
    help="Start, stop and look into the Neo4j server that keeps the graphs. "
    "NEO4J_URI (with NEO4J_USER, NEO4J_PASSWORD) names a server of yours; without it an embedded one is used.",
    no_args_is_help=True,
)
app.command(name="doctor")(doctor.doctor)
app.command(name="prune")(prune.prune)
app.command(name="backup")(backup.backup)
app.command(name="restore")(backup.restore)
app.command(name="migrate")(migrate.migrate)
app.command(name="export")(archive.export)
app.command(name="import")(archive.import_)
app.command(name="size")(size.size)


@dataclass(frozen=True)
class ServerAnswers:
    """What a running server says of itself."""

    neo4j_version: str
    gds_version: str | None
    node_count: int
    relationship_count: int


@app.command()
def start() -> None:
    """Start the embedded server, or find it running, and say where it is.

    The first start fetches Neo4j (170 MB) and a password is made. The server listens on this machine only and runs on
    when the command has ended, until `attrgraph db stop`. If NEO4J_URI is set, nothing is started: that server is asked
    whether it answers.
    """
    connection = resolve_connection(console=Console(stderr=True))
    verify(connection)
    if connection.way == "environment":
        _print_pairs({"Neo4j": f"{connection.uri} (NEO4J_URI) answers; nothing to start", "user": connection.user})
        return
    status = EmbeddedServer().status()
    if status.record is None:
        raise AttrGraphError("The embedded Neo4j answered and is gone. See its log: attrgraph db status")
    _print_pairs(
        {
            "Bolt": connection.uri,
            "Browser": status.record.browser_url,
            "user": connection.user,
            "password": f"in {status.password_file}",
        }
    )


@app.command()
def stop(
    force: Annotated[bool, typer.Option("--force", help="Kill the server. What was committed is kept.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for its end.")] = STOP_TIMEOUT_SECONDS,
) -> None:
    """Stop the embedded server; its data are kept. Does nothing if it is down."""
    if EmbeddedServer().stop(timeout, force):
        typer.echo("Neo4j has stopped.")
    else:
        typer.echo("The embedded Neo4j was not running.")


@app.command()
def status() -> None:
    """Say which server is in use and how it is. Starts nothing. Exit code 0 if it runs, 3 if not."""
    if not os.environ.get("NEO4J_URI") and EmbeddedServer().running() is None:
        files = _describe_files(EmbeddedServer().status())
        _print_pairs({"way": "embedded", "state": "not running (attrgraph db start)", **files})
        raise typer.Exit(EXIT_CODE_NOT_RUNNING)
    connection = resolve_connection(start_embedded=False)
    pairs = {"way": _describe_way(connection), "Bolt": connection.uri, "user": connection.user}
    try:
        answers = ask_server(connection)
    except AttrGraphError as error:
        _print_pairs({**pairs, "state": str(error), **_describe_embedded(connection)})
        raise typer.Exit(EXIT_CODE_NOT_RUNNING) from None
    _print_pairs(
        {
            **pairs,
            "state": "running",
            "Neo4j": answers.neo4j_version,
            "Graph Data Science": answers.gds_version or "not loaded",
            "nodes": f"{answers.node_count:,}",
            "relationships": f"{answers.relationship_count:,}",
            **_describe_embedded(connection),
        }
    )


@app.command()
def shell(
    write: Annotated[bool, typer.Option("--write", help="Allow statements that change the graph.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds that a statement may take; 0 for any.")] = None,
) -> None:
    """Run Cypher statements, each ended by a semicolon, typed or piped in. Reads only, unless --write.

    A statement may take 60 seconds, and any time with --write; --timeout says otherwise.

    Example: echo 'MATCH (run:Run) RETURN run.run_id;' | attrgraph db shell
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    connection = resolve_connection(console=Console(stderr=True))
    run_shell(connection, write, console, timeout=_seconds(timeout, write))


def _seconds(timeout: float | None, write: bool) -> float | None:
    if timeout is None:
        return None if write else SHELL_TIMEOUT_SECONDS
    return timeout or None


def ask_server(connection: Connection) -> ServerAnswers:
    """Ask a server for its versions and sizes. Raises AttrGraphError when it does not answer."""
    try:
        with (
            neo4j.GraphDatabase.driver(
                connection.uri, auth=(connection.user, connection.password), max_transaction_retry_time=0.0
            ) as driver,
            driver.session(default_access_mode=neo4j.READ_ACCESS) as session,
        ):
            components = session.run("CALL dbms.components() YIELD name, versions RETURN name, versions").data()
            versions = {component["name"]: component["versions"][0] for component in components}
            has_gds = session.run(
                "SHOW FUNCTIONS YIELD name WHERE name = 'gds.version' RETURN count(*) AS count"
            ).single(strict=True)["count"]
            gds_version = (
                session.run("RETURN gds.version() AS version").single(strict=True)["version"] if has_gds else None
            )
            nodes = session.run("MATCH (node) RETURN count(node) AS count").single(strict=True)["count"]
            edges = session.run("MATCH ()-[edge]->() RETURN count(edge) AS count").single(strict=True)["count"]
    except (DriverError, Neo4jError) as error:
        raise describe_driver_error(error, connection) from error
    return ServerAnswers(versions.get("Neo4j Kernel", "unknown"), gds_version, nodes, edges)


def _describe_way(connection: Connection) -> str:
    return "NEO4J_URI of the environment" if connection.way == "environment" else connection.way


def _describe_embedded(connection: Connection) -> dict[str, str]:
    if connection.way != "embedded":
        return {}
    server_status = EmbeddedServer().status()
    pairs = {}
    if server_status.record is not None and server_status.uptime is not None:
        pairs = {
            "Browser": server_status.record.browser_url,
            "pid": str(server_status.record.pid),
            "uptime": _format_duration(server_status.uptime),
        }
    return {**pairs, **_describe_files(server_status)}


def _describe_files(server_status: ServerStatus) -> dict[str, str]:
    return {
        "home": str(server_status.home),
        "store on disk": f"{server_status.store_bytes / 1e6:.1f} MB",
        "log": str(server_status.log),
        "password": f"in {server_status.password_file}",
    }


def _format_duration(seconds: float) -> str:
    minutes, seconds_left = divmod(int(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}:{minutes_left:02}:{seconds_left:02}"


def _print_pairs(pairs: dict[str, str]) -> None:
    width = max(len(name) for name in pairs)
    for name, value in pairs.items():
        typer.echo(f"{name:<{width}}  {value}")
