"""One process makes a run at a time: a lock in the run's folder, which the system takes from a process that ends.

So a run that was killed goes on at once, and a second process is told of the first before it touches anything.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from filelock import FileLock, Timeout

from attrgraph_core.errors import AttrGraphError
from pipelines.run_folder import run_folder, write_atomically

SECONDS_TO_WAIT = 1.0  # for who only looks whether it is held

_held: set[str] = set()  # by this process: the command holds the run whose steps take it, too


@contextmanager
def run_lock(run_id: str) -> Iterator[None]:
    """Hold a run while something of it is made. Raises AttrGraphError where another process does."""
    if run_id in _held:
        yield
        return
    lock = _lock(run_id)
    try:
        lock.acquire(timeout=SECONDS_TO_WAIT)
    except Timeout:
        raise AttrGraphError(
            f"run {run_id} is being made by another process ({_holder(run_id)}); wait until it has ended, or end it: "
            "the same command then goes on from there"
        ) from None
    _held.add(run_id)
    try:
        since = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        write_atomically(run_folder(run_id) / ".writer", f"process {os.getpid()}, since {since}")
        yield
    finally:
        _held.discard(run_id)
        lock.release()


def is_held(run_id: str) -> bool:
    """Whether a process makes something of a run now, this one or another."""
    if run_id in _held:
        return True
    if not run_folder(run_id).is_dir():
        return False
    try:
        with _lock(run_id):
            return False
    except Timeout:
        return True


def _lock(run_id: str) -> FileLock:
    folder = run_folder(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock", timeout=0)


def _holder(run_id: str) -> str:
    try:
        return (run_folder(run_id) / ".writer").read_text(encoding="utf-8")
    except OSError:
        return "which has just begun"
