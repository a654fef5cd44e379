"""Neo4j's own administration tool, run from the jar files that the embedded server runs from.

It works on the files of a home whose server is stopped, and reads that home's `conf/neo4j.conf`.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from rich.console import Console

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.embedded import launch
from attrgraph_core.store.embedded.artefacts import fetch_artefacts, locked_artefacts

MAIN_CLASS = "org.neo4j.cli.AdminTool"
NO_REASONS = ("Run with", "at ", "Picked up JAVA_TOOL_OPTIONS", "Files: ", "Done: ")


def run_admin_tool(
    arguments: Sequence[str],
    *,
    home: Path,
    cache: Path,
    console: Console | None = None,
    source: IO[bytes] | None = None,
) -> str:
    """Run `neo4j-admin` with `arguments` on the files of `home`; what it said.

    Raises AttrGraphError with the tool's own reason where it fails.
    """
    jars = fetch_artefacts(locked_artefacts(), cache, console=console or Console(quiet=True))
    class_path = os.pathsep.join(str(jar) for jar in jars)
    command = [str(launch.java_path()), "-Xmx1g", "-Dfile.encoding=UTF-8", "-cp", class_path, MAIN_CLASS, *arguments]
    ended = subprocess.run(
        command,
        env=os.environ | {"NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")},
        stdin=source if source is not None else subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    said, complained = ended.stdout.decode("utf-8", "replace"), ended.stderr.decode("utf-8", "replace")
    if ended.returncode != 0:
        raise AttrGraphError(f"Neo4j's tool failed at '{' '.join(arguments)}': {_reason(said, complained)}")
    return said


def _reason(said: str, complained: str) -> str:
    """What the tool names as wrong: the first of its errors, without the time and class before it.

    It logs errors to its standard output, where that is free, and says the rest on the other.
    """
    errors = [line.partition("]")[2].strip() for line in _lines(said + "\n" + complained) if " ERROR " in line]
    reasons = [line for line in errors if line]
    reasons += [line for line in _lines(complained) if not line.startswith(NO_REASONS)]
    return reasons[0] if reasons else "it gave no reason"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
