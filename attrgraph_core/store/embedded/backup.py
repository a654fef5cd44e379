"""Backup and restore of the embedded server's graphs: one file, in the format of `neo4j-admin database dump`.

The server is stopped meanwhile, and started again if it ran. A backup holds the graphs, not the users: a restored store
is opened by the password of the home it is in.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock
from rich.console import Console

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.database import Database
from attrgraph_core.store.embedded import launch
from attrgraph_core.store.embedded.admin_tool import run_admin_tool
from attrgraph_core.store.embedded.dump_file import begins_as_dump, is_whole_dump
from attrgraph_core.store.embedded.home import make_private_folder
from attrgraph_core.store.embedded.server import EmbeddedServer
from attrgraph_core.store.embedded.store_exchange import STORE_FOLDERS, exchange_store, undo_cut_exchange
from attrgraph_core.store.queries import load_query

DATABASE = "neo4j"


def backup(server: EmbeddedServer, file: Path, force: bool = False, console: Console | None = None) -> int:
    """Dump the server's graphs into `file` (mode 0600); its size in bytes. The file appears whole or not at all.

    A file that is there is replaced with `force`, at the end.

    Raises AttrGraphError, before the server is touched, for a file that is there without `force`, for a folder that
    is not, and for a home without a store.
    """
    file = file.absolute()
    if file.is_dir() or (file.exists() and not force):
        raise AttrGraphError(f"{file} is there already; name another file, or overwrite it with --force")
    if not file.parent.is_dir():
        raise AttrGraphError(f"there is no folder {file.parent} to write {file.name} to")
    if not _has_store(server):
        raise AttrGraphError(f"there is nothing to back up: {server.home} holds no store yet")
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".{file.name}.", dir=file.parent))
    except OSError as error:
        raise AttrGraphError(f"{file.parent} cannot be written to: {error.strerror}") from error
    try:
        with server.stopped(console):
            undo_cut_exchange(server.home)
            return _dump(server, staging, file, console)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _dump(server: EmbeddedServer, staging: Path, file: Path, console: Console | None) -> int:
    """Dump into the folder `staging`, and give the dump its name once it is whole and on the disk; its size in bytes.

    Into a folder, since the tool writes on over a full disk to its standard output, and reports success.
    """
    command = ["database", "dump", DATABASE, f"--to-path={staging}"]
    dump = staging / f"{DATABASE}.dump"
    try:
        run_admin_tool(command, home=server.home, cache=server.cache, console=console)
        if not is_whole_dump(dump):
            raise AttrGraphError("Neo4j's tool reported success, but its file ends in the middle")
        dump.chmod(0o600)
        _sync(dump)
        dump.replace(file)
    except (AttrGraphError, OSError) as error:
        before = "the one of before is as it was" if file.exists() else "no file was left"
        raise AttrGraphError(f"there is no new backup in {file}, and {before}. {error}") from error
    with contextlib.suppress(OSError):  # some disks of a network do not sync folders
        _sync(file.parent)
    return file.stat().st_size


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def restore(server: EmbeddedServer, file: Path, force: bool = False, console: Console | None = None) -> None:
    """Put the graphs of a backup into the server's home, whose store must be empty without `force`.

    Raises AttrGraphError, with the store as it was, where the file is no backup or there is no room for it.
    """
    file = file.absolute()
    if not file.is_file():
        raise AttrGraphError(f"there is no file {file} to restore")
    make_private_folder(server.home)
    if _has_store(server) and not force and _holds_graphs(server, console):
        raise AttrGraphError(
            f"{server.home} holds graphs, and a restore replaces them all. Back them up first (attrgraph db backup "
            "FILE) and say --force, or restore into another home: ATTRGRAPH_NEO4J_HOME"
        )
    staging = server.home / "restoring"
    with FileLock(server.home / "restore.lock", mode=0o600):
        shutil.rmtree(staging, ignore_errors=True)
        try:
            _load(server, file, staging, console)  # the server may run meanwhile
            with server.stopped(console):
                undo_cut_exchange(server.home)
                exchange_store(server.home, staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _load(server: EmbeddedServer, file: Path, staging: Path, console: Console | None) -> None:
    """Load a backup into a home of its own."""
    if begins_as_dump(file) and not is_whole_dump(file):
        raise AttrGraphError(f"{file} cannot be restored, and nothing was changed: it is cut short, or damaged")
    staging.mkdir(mode=0o700)
    launch.write_settings(staging, launch.USUAL_BOLT_PORT, launch.USUAL_HTTP_PORT, {})
    command = ["database", "load", DATABASE, "--from-stdin"]
    try:
        with file.open("rb") as source:
            run_admin_tool(command, home=staging, cache=server.cache, console=console, source=source)
    except AttrGraphError as error:
        raise AttrGraphError(f"{file} cannot be restored, and nothing was changed. {error}") from error
    if not all((staging / folder).is_dir() for folder in STORE_FOLDERS):
        raise AttrGraphError(f"{file} cannot be restored, and nothing was changed: there is no store in it")


def _has_store(server: EmbeddedServer) -> bool:
    return (server.home / STORE_FOLDERS[0]).is_dir() or (server.home / "replaced").is_dir()


def _holds_graphs(server: EmbeddedServer, console: Console | None) -> bool:
    """Whether there is anything in the store but the record of its schema; the server runs on if it ran before."""
    was_running = server.running() is not None
    database = Database(server.start(console))
    try:
        return bool(database.read(load_query("lookup/holds_nodes"), {})["is_there"].iloc[0])
    finally:
        database.close()
        if not was_running:
            server.stop()
