"""What may be wrong with a store, and the way out of it: each examination gives findings, and changes nothing."""

import re
import shutil
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.database import Database
from attrgraph_core.store.queries import load_query
from attrgraph_core.store.schema import applied_versions, schema_files

if TYPE_CHECKING:
    from attrgraph_core.store.embedded.server import EmbeddedServer

OLDEST_SERVER, OLDEST_DRIVER = (5, 26), (5, 26)
LEFT_BEHIND_SECONDS = 600  # no batch takes as long
LEAST_FREE_BYTES = 1_000_000_000
PAGE_CACHE, HEAP = "server.memory.pagecache.size", "server.memory.heap.max_size"


class State(StrEnum):
    """`change` must be changed, `advice` may be, `good` is as it should be."""

    good = "good"
    advice = "advice"
    change = "change"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `way_out` is empty where it is good."""

    what: str
    state: State
    found: str
    way_out: str = ""


def examine(connection: Connection, embedded: "EmbeddedServer | None") -> list[Finding]:
    """All findings on a running server; `embedded` is its home where it is the embedded one.

    Raises AttrGraphError where the server does not answer.
    """
    database = Database(connection)
    try:
        findings = [
            *_versions(database),
            *_schema(database, connection),
            *_unfinished(database),
            *_encryption(connection),
        ]
        if embedded is not None:
            findings += [*_memory(database, embedded), *_disk(embedded), *_privacy(embedded)]
    finally:
        database.close()
    return findings


def _versions(database: Database) -> Iterator[Finding]:
    parts = database.read(load_query("lookup/components"), {}).set_index("name")
    kernel = parts.loc["Neo4j Kernel"]
    yield _at_least("Neo4j", f"{kernel['versions'][0]} {kernel['edition']}", OLDEST_SERVER, "upgrade the server")
    yield _at_least("driver", version("neo4j"), OLDEST_DRIVER, "pip install --upgrade neo4j")
    try:
        yield Finding("rust extension", State.good, version("neo4j-rust-ext"))
    except PackageNotFoundError:
        yield Finding("rust extension", State.advice, "not installed", "pip install neo4j-rust-ext: reads faster")
    has_gds = database.read(load_query("lookup/has_graph_data_science"), {})["is_there"].iloc[0]
    if has_gds:
        found = database.read(load_query("lookup/gds_version"), {})["version"].iloc[0]
        yield Finding("Graph Data Science", State.good, str(found))
    else:
        way_out = "queries ending in _gds need the plugin; each has a form without"
        yield Finding("Graph Data Science", State.advice, "not loaded", way_out)


def _at_least(what: str, found: str, oldest: tuple[int, int], way_out: str) -> Finding:
    numbers = tuple(map(int, re.findall(r"\d+", found)[:2]))
    if numbers >= oldest:
        return Finding(what, State.good, found)
    return Finding(what, State.change, found, f"{way_out} to {oldest[0]}.{oldest[1]} or later")


def _schema(database: Database, connection: Connection) -> Iterator[Finding]:
    try:
        applied = applied_versions(database.driver, connection)
    except AttrGraphError as error:
        yield Finding("schema", State.change, "another than this program's", str(error))
        return
    missing = [query.name for number, query in schema_files().items() if number not in applied]
    if not applied:
        yield Finding("schema", State.advice, "not there yet", "attrgraph db migrate, or any command that stores")
    elif missing:
        yield Finding("schema", State.change, f"without {', '.join(missing)}", "attrgraph db migrate")
    else:
        yield Finding("schema", State.good, f"version {max(applied)}")
    wanted = wanted_indexes(applied)
    indexes = database.read(load_query("lookup/indexes"), {}).set_index("name")
    gone = sorted(wanted - set(indexes.index))
    if gone:
        yield Finding("indexes", State.change, f"without {', '.join(gone)}", "attrgraph db migrate --again")
    failed = indexes[indexes["state"] == "FAILED"]
    for name in failed.index:
        yield Finding(
            "indexes", State.change, f"{name} has failed", f"DROP it, then attrgraph db migrate --again: {name}"
        )
    filling = indexes[(indexes["state"] == "POPULATING") | (indexes["complete"] < 100.0)].drop(failed.index)
    if len(filling):
        found = f"{', '.join(filling.index)} being filled, {filling['complete'].min():.0f} %"
        yield Finding("indexes", State.advice, found, "wait: queries are slow until then")
    elif not gone and failed.empty:
        yield Finding("indexes", State.good, f"{len(wanted)} online")


def wanted_indexes(versions: Container[int]) -> set[str]:
    """Names of the indexes and constraints that these versions of the schema make, and none of them drops."""
    wanted: set[str] = set()
    for number, query in schema_files().items():
        if number in versions:
            for verb, name in re.findall(r"(CREATE|DROP) (?:CONSTRAINT|INDEX) (\w+)", query.text):
                (wanted.add if verb == "CREATE" else wanted.discard)(name)
    return wanted


def _unfinished(database: Database) -> Iterator[Finding]:
    graphs = database.read(load_query("lookup/unfinished_graphs"), {})
    left = graphs[graphs["seconds"] > LEFT_BEHIND_SECONDS]
    for (run_id, status), of_run in left.groupby(["run_id", "status"]):
        verb = "save them again (the same run, once more)" if status == "writing" else "run the same deletion again"
        minutes = of_run["seconds"].min() // 60
        found = f"{len(of_run)} of run {run_id} are '{status}' since {minutes} min; nobody reads them"
        yield Finding("graphs left behind", State.advice, found, f"{verb}, or attrgraph runs delete {run_id}")
    runs = database.read(load_query("lookup/run_states"), {})
    imported = runs.loc[runs["status"] == "importing", "run_id"]
    for run_id in imported:
        way_out = f"if nobody is at it now: attrgraph db import FOLDER once more, or attrgraph runs delete {run_id}"
        yield Finding("graphs left behind", State.advice, f"run {run_id} is 'importing', not all there", way_out)
    busy = len(graphs) - len(left)
    if left.empty and imported.empty:
        yield Finding("graphs left behind", State.good, f"none ({busy} being written or deleted now)")


def _encryption(connection: Connection) -> Iterator[Finding]:
    scheme, _, rest = connection.uri.partition("://")
    host = rest.partition("/")[0].rpartition(":")[0] or rest
    is_here = host in ("localhost", "127.0.0.1", "[::1]")
    if scheme.endswith(("+s", "+ssc")) or is_here:
        yield Finding("way to the server", State.good, "this machine" if is_here else "encrypted")
    else:
        way_out = f"write NEO4J_URI with {scheme}+s:// if the server has a certificate"
        yield Finding("way to the server", State.advice, "not encrypted, the password neither", way_out)


def _memory(database: Database, server: "EmbeddedServer") -> Iterator[Finding]:
    settings = database.read(load_query("lookup/settings"), {"names": [PAGE_CACHE, HEAP]}).set_index("name")["value"]
    cache = _bytes(settings.get(PAGE_CACHE))
    store = server.database_bytes()
    if cache is None:
        return
    found = f"page cache {cache / 1e6:,.0f} MB, store {store / 1e6:,.0f} MB"
    if cache >= store:
        yield Finding("memory", State.good, found)
    else:
        size = 2 ** max(28, (store - 1).bit_length()) // 2**20
        way_out = f"ATTRGRAPH_NEO4J_PAGE_CACHE={size}m, then attrgraph db stop and start, if this machine has it"
        yield Finding("memory", State.advice, found, way_out)


def _bytes(size: str | None) -> int | None:
    """Bytes of a size as Neo4j writes it, `256.00MiB` or `268435456B`; None where it is none."""
    match = re.fullmatch(r"([\d.]+)\s*([KMGT]?)(?:i?B)?", (size or "").strip(), re.IGNORECASE)
    if match is None:
        return None
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def _disk(server: "EmbeddedServer") -> Iterator[Finding]:
    free = shutil.disk_usage(server.home).free
    state = State.good if free >= LEAST_FREE_BYTES else State.change
    way_out = "" if state is State.good else f"make room on the disk of {server.home}; attrgraph db prune frees graphs"
    yield Finding("disk", state, f"{free / 1e9:,.1f} GB free", way_out)


def _privacy(server: "EmbeddedServer") -> Iterator[Finding]:
    for path, mode in ((server.home, 0o700), (server.password_file, 0o600)):
        found = stat.S_IMODE(path.stat().st_mode)
        what = "password file" if path == server.password_file else "home folder"
        if found & 0o077:
            yield Finding(what, State.change, f"open to other users (mode {found:03o})", f"chmod {mode:03o} {path}")
        else:
            yield Finding(what, State.good, f"for you alone (mode {found:03o})")
