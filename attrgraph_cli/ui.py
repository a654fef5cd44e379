"""`attrgraph ui`: Dagster's UI with the lineage, beside Neo4j Browser."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attrgraph_core.errors import AttrGraphError


def ui(
    experiments: Annotated[
        Path | None, typer.Argument(help="A folder of experiment files, or one file; ./experiments without.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of Dagster's UI, on this machine only.")] = 3000,
) -> None:
    """Open Dagster's UI (lineage, plots, checks, schedules) and say where Neo4j Browser answers. Ctrl-C ends it."""
    from attrgraph_core.store.connection import resolve_connection
    from pipelines.experiments import load_experiments
    from pipelines.instance import prepare_dagster_home

    if experiments is not None:
        os.environ["ATTRGRAPH_EXPERIMENTS"] = str(experiments.absolute())
    load_experiments()
    home = prepare_dagster_home()
    console = Console()
    connection = resolve_connection(console=Console(stderr=True))
    console.print(f"Dagster:       http://127.0.0.1:{port} (history in {home})", highlight=False, soft_wrap=True)
    if connection.way == "embedded":
        from attrgraph_core.store.embedded.server import EmbeddedServer

        status = EmbeddedServer().status()
        if status.record is None:
            raise AttrGraphError("the embedded Neo4j is gone; `attrgraph db status` shows its log")
        console.print(
            f"Neo4j Browser: {status.record.browser_url} (user {connection.user}, password in {status.password_file}; "
            f"connect to {connection.uri})",
            highlight=False,
            soft_wrap=True,
        )
    else:
        console.print(f"Neo4j:         {connection.uri}, user {connection.user}", highlight=False)
    command = [
        sys.executable, "-m", "dagster", "dev", "--module-name", "pipelines.definitions",
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    try:
        code = subprocess.run(command, env=os.environ).returncode
    except KeyboardInterrupt:
        return  # Dagster has had the same signal and ends by itself
    if code not in (0, -2, 130):
        raise AttrGraphError(f"Dagster's UI ended with code {code}; if port {port} is taken, give another: --port 3001")
