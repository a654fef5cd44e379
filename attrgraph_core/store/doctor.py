"""What may be wrong with a store, and the way out of it: each examination gives findings, and changes nothing."""

import re
import shutil
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection, verify
from attrgraph_core.store.database import Database
from attrgraph_core.store.queries import load_query
from attrgraph_core.store.schema import applied_versions, schema_files
from attrgraph_core.store.sizes import bytes_of_kinds

if TYPE_CHECKING:
    from attrgraph_core.store.embedded.server import EmbeddedServer

OLDEST_SERVER, OLDEST_DRIVER = (5, 26), (5, 26)
LEFT_BEHIND_SECONDS = 600  # no batch takes as long
LEAST_FREE_BYTES = 1_000_000_000
PAGE_CACHE, HEAP = "server.memory.pagecache.size", "server.memory.heap.max_size"
VARIABLES = {PAGE_CACHE: "ATTRGRAPH_NEO4J_PAGE_CACHE", HEAP: "ATTRGRAPH_NEO4J_HEAP"}
HEAP_BYTES_AN_EDGE = 1000  # of the graph that a statement reads or writes (docs/graph.md)
LEAST_HEAP, LEAST_PAGE_CACHE = 2**29, 2**28
HEAP_TOLERANCE = 0.9  # Java tells a little less than it was given


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
    verify(connection)  # at once: what a database asks is tried again for half a minute
    database = Database(connection)
    try:
        findings = [
            *_versions(database),
            *_schema(database, connection),
            *_unfinished(database),
            *_encryption(connection),
            *judge_memory(read_memory(database, embedded), embedded is not None),
        ]
        if embedded is not None:
            findings += examine_files(embedded)
    finally:
        database.close()
    return findings


def examine_files(embedded: "EmbeddedServer") -> list[Finding]:
    """The findings on the embedded server's home, which need no connection; none where there is no home yet."""
    if not embedded.home.is_dir():
        return []
    return [*_disk(embedded), *_privacy(embedded)]


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


@dataclass(frozen=True)
class Memory:
    """What a server has, in bytes, and what it is for; None for what it does not tell. `machine` is all of its RAM."""

    page_cache: int | None
    heap: int | None
    machine: int | None
    store: int
    largest_graph_edges: int


def read_memory(database: Database, embedded: "EmbeddedServer | None") -> Memory:
    """Ask a server for its memory and count its graphs; the embedded one's files are looked at, too."""
    settings = database.read(load_query("lookup/settings"), {"names": [PAGE_CACHE, HEAP]}).set_index("name")["value"]
    try:
        of_java = database.read(load_query("lookup/java_memory"), {}).iloc[0]
        heap, machine = _positive(of_java["heap"]), _positive(of_java["machine"])
    except AttrGraphError:  # Aura lets nobody ask, nor does a role of few rights
        heap, machine = None, None
    counted = bytes_of_kinds(database.read(load_query("lookup/kind_counts"), {}))
    largest = database.read(load_query("lookup/largest_graph"), {})["edge_count"].iloc[0]
    return Memory(
        page_cache=_bytes(settings.get(PAGE_CACHE)),
        heap=_bytes(settings.get(HEAP)) or heap,
        machine=machine,
        store=max(counted, embedded.database_bytes() if embedded is not None else 0),
        largest_graph_edges=int(largest),
    )


def _positive(number: object) -> int | None:
    return int(number) if isinstance(number, (int, float, np.number)) and number > 0 else None


def judge_memory(memory: Memory, is_embedded: bool) -> Iterator[Finding]:
    """Whether the page cache holds the store, the heap a statement about the largest graph, and the machine both."""
    cache, heap, machine, store = memory.page_cache, memory.heap, memory.machine, memory.store
    if cache is None and heap is None:
        way_out = "ask who keeps the server; docs/graph.md says what a store needs"
        yield Finding("memory", State.advice, f"not told; graphs take {_megabytes(store)}", way_out)
        return
    if cache is not None and heap is not None and machine is not None and cache + heap > machine:
        found = f"page cache {_megabytes(cache)} and heap {_megabytes(heap)}, of {_megabytes(machine)} that there are"
        room = machine - heap - LEAST_FREE_BYTES
        if room < LEAST_PAGE_CACHE:
            way_out = f"a smaller heap: {_set(HEAP, _power(machine // 2), is_embedded)}"
        else:
            way_out = f"a smaller heap, or {_set(PAGE_CACHE, _power(room), is_embedded)}"
        yield Finding("memory of the machine", State.change, found, way_out)
    if cache is not None:
        found = f"page cache {_megabytes(cache)}, store {_megabytes(store)}"
        best = max(LEAST_PAGE_CACHE, 2 ** (store - 1).bit_length() if store else 0)
        if cache >= store:
            yield Finding("memory", State.good, found)
        elif machine is not None and best + (heap or 0) > machine - LEAST_FREE_BYTES:
            way_out = "the machine has no more: attrgraph db prune, or a larger machine"
            yield Finding("memory", State.advice, f"{found}, machine {_megabytes(machine)}", way_out)
        else:
            yield Finding("memory", State.advice, found, _set(PAGE_CACHE, best, is_embedded))
    if heap is not None:
        needed = max(LEAST_HEAP, HEAP_BYTES_AN_EDGE * memory.largest_graph_edges)
        found = f"heap {_megabytes(heap)}, largest graph {memory.largest_graph_edges:,} edges"
        if heap >= HEAP_TOLERANCE * needed:
            yield Finding("heap", State.good, found)
        else:
            yield Finding("heap", State.advice, found, _set(HEAP, 2 ** (needed - 1).bit_length(), is_embedded))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def _power(count: int) -> int:
    """The largest power of two that is no larger."""
    return 2 ** (max(1, count).bit_length() - 1)


def _set(setting: str, size: int, is_embedded: bool) -> str:
    if is_embedded:
        return f"{VARIABLES[setting]}={size // 2**20}m, then attrgraph db stop and start"
    return f"{setting}={size // 2**20}m in the server's neo4j.conf"


def _bytes(size: object) -> int | None:
    """Bytes of a size as Neo4j writes it, `256.00MiB` or `268435456B`; None where it is none."""
    match = re.fullmatch(r"([\d.]+)\s*([KMGT]?)(?:i?B)?", size.strip() if isinstance(size, str) else "", re.IGNORECASE)
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
        if not path.exists():
            continue
        found = stat.S_IMODE(path.stat().st_mode)
        what = "password file" if path == server.password_file else "home folder"
        if found & 0o077:
            yield Finding(what, State.change, f"open to other users (mode {found:03o})", f"chmod {mode:03o} {path}")
        else:
            yield Finding(what, State.good, f"for you alone (mode {found:03o})")
