"""Which code ran: the package's version and, in a checkout, the commit."""

import functools
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@functools.cache
def code_version() -> str:
    try:
        package = version("attrgraph")
    except PackageNotFoundError:
        package = "unknown"
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return package
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return package
    return f"{package}+{commit.stdout.strip()}" if commit.returncode == 0 else package
