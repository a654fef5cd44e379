"""One process makes a run at a time: a lock in the run's folder, which the system takes from a process that ends.

So a run that was killed goes on at once, and a second process is told of the first before it touches anything.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from filelock import FileLock, Timeout

from attrgraph_core.errors import AttrGraphError
from pipelines.run_folder import run_folder, write_atomically

SECONDS_TO_WAIT = 1.0  # for who only looks whether it is held

_held: dict[str, FileLock] = {}  # by this process: the command holds the run whose steps take it, too
_changing_held = threading.Lock()


@contextmanager
def run_lock(run_id: str) -> Iterator[None]:
    """Hold a run while something of it is made; entered again in this process, until the last has left.

    Raises AttrGraphError where another process holds it, and where the run's folder lets nobody.
    """
    _enter(run_id)
    try:
        yield
    finally:
        _leave(run_id)


def _enter(run_id: str) -> None:
    with _changing_held:
        if run_id in _held:
            _held[run_id].acquire()  # it counts
            return
        folder = run_folder(run_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _lock(run_id)
            lock.acquire(timeout=SECONDS_TO_WAIT)
        except Timeout:
            raise AttrGraphError(
                f"run {run_id} is being made by another process ({_holder(run_id)}); wait until it has ended, or end "
                "it: the same command then goes on from there"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise AttrGraphError(
                f"run {run_id} cannot be locked in {folder} ({error}); let yourself write there, or name a folder on a "
                "disk that has locks: ATTRGRAPH_RUNS"
            ) from error
        _held[run_id] = lock
    with contextlib.suppress(OSError):  # only who is refused reads it
        write_atomically(folder / ".writer", f"process {os.getpid()}, since {datetime.now():%Y-%m-%d %H:%M:%S}")


def _leave(run_id: str) -> None:
    with _changing_held:
        _held[run_id].release()
        if not _held[run_id].is_locked:
            del _held[run_id]


def is_held(run_id: str) -> bool:
    """Whether a process makes something of a run now, this one or another; not where nobody can lock it."""
    with _changing_held:
        if run_id in _held:
            return True
        if not run_folder(run_id).is_dir():
            return False
        try:
            with _lock(run_id):
                return False
        except Timeout:
            return True
        except (OSError, NotImplementedError):
            return False


def _lock(run_id: str) -> FileLock:
    # Whichever thread leaves last gives it back.
    return FileLock(run_folder(run_id) / ".lock", timeout=0, thread_local=False)


def _holder(run_id: str) -> str:
    try:
        return (run_folder(run_id) / ".writer").read_text(encoding="utf-8")
    except OSError:
        return "which has just begun"
