"""The fast way into an empty embedded server: Neo4j's offline importer makes the store's files, the server reads them.

Neurons, their states and edges go this way, all else in the ordinary one once the server is up. The files are made
beside the store, while the server runs on, and change places with it when they are whole.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.archive.export import Progress
from attrgraph_core.store.archive.importing import write_provenance, write_the_rest
from attrgraph_core.store.archive.manifest import Manifest, check_archive, table_path
from attrgraph_core.store.archive.rows import RowReader, read_nodes, read_rows
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.database import Database
from attrgraph_core.store.embedded import launch
from attrgraph_core.store.embedded.admin_tool import run_admin_tool
from attrgraph_core.store.embedded.server import EmbeddedServer
from attrgraph_core.store.embedded.store_exchange import exchange_store
from attrgraph_core.store.queries import load_query
from attrgraph_core.store.schema import apply_schema

ROWS_AT_ONCE = 100_000
LARGEST_INDEX = 2**31
# The importer's own header: identities are numbers, counted by kind of node, and not kept.
STATE = {":ID(State)": pa.int64(), "graph_id": pa.string(), "layer": pa.string(), "index": pa.int64()}
STATE |= {"kind": pa.string()}
STATE |= dict.fromkeys(("attribution", "abs_attribution", "total_in", "kept_in", "total_out"), pa.float64())
FILES = {
    "Run": {":ID(Run)": pa.int64(), "run_id": pa.string(), "status": pa.string()},
    "Neuron": {":ID(Neuron)": pa.int64(), "run_id": pa.string(), "layer": pa.string(), "index": pa.int64(),
               "kind": pa.string()},
    "AttributionGraph": {":ID(Graph)": pa.int64(), "graph_id": pa.string(), "run_id": pa.string(),
                         "content_hash": pa.string(), "status": pa.string()},
    "NeuronState": STATE,
    "HAS_STATE": {":START_ID(Graph)": pa.int64(), ":END_ID(State)": pa.int64()},
    "STATE_OF": {":START_ID(State)": pa.int64(), ":END_ID(Neuron)": pa.int64()},
    "INFLUENCES": {":START_ID(State)": pa.int64(), ":END_ID(State)": pa.int64(), "weight": pa.float64(),
                   "abs_weight": pa.float64()},
}  # fmt: skip
NODES = ("Run", "Neuron", "AttributionGraph", "NeuronState")


def import_offline(server: EmbeddedServer, archive: Path, on_progress: Progress = lambda *_: None) -> Manifest:
    """Load an archive into the embedded server, which is empty; it is stopped for a moment, and runs in the end.

    Raises AttrGraphError, and leaves server and store as they are, for an archive that is damaged and a store that is
    not empty. Cut short once the store's files have changed places, it goes on through `import_runs`, which writes no
    edge again.
    """
    manifest = check_archive(archive)
    silent = Console(quiet=True)
    refuse_content(server.start(silent))
    with _staging_folder(server) as staging:
        _make_store(server, archive, staging, on_progress)
        refuse_content(server.start(silent))
        with server.stopped(silent):
            exchange_store(server.home, staging)
    connection = server.start(silent)
    with closing(Database(connection)) as database:
        apply_schema(database.driver, connection)
        write_provenance(database, archive)
        write_the_rest(database, archive)
    return manifest


def holds_nothing(connection: Connection) -> bool:
    """Whether a server's database has nothing but its schema."""
    with closing(Database(connection)) as database:
        return not bool(database.read(load_query("lookup/holds_nodes"), {})["is_there"].iloc[0])


def refuse_content(connection: Connection) -> None:
    """Raise AttrGraphError where a server's database has more than its schema."""
    if not holds_nothing(connection):
        raise AttrGraphError(
            f"the store at {connection.uri} is not empty, and the offline importer makes a store from nothing; import "
            "through the server (--way server), or into another home (ATTRGRAPH_NEO4J_HOME)"
        )


@contextmanager
def _staging_folder(server: EmbeddedServer) -> Iterator[Path]:
    """A home beside the store's, on the same disk, that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="import-", dir=server.home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_store(server: EmbeddedServer, archive: Path, staging: Path, on_progress: Progress) -> None:
    """Make the files of a store with an archive's neurons, states and edges in the home `staging`."""
    tables = staging / "tables"
    tables.mkdir()
    launch.write_settings(staging, launch.USUAL_BOLT_PORT, launch.USUAL_HTTP_PORT, {})
    _write_tables(archive, tables, on_progress)
    on_progress("the store's files", 0, 1)
    options = [f"--{'nodes' if name in NODES else 'relationships'}={name}={table_path(tables, name)}" for name in FILES]
    options += ["--input-type=parquet", "--id-type=integer", f"--report-file={staging / 'report'}"]
    run_admin_tool(["database", "import", "full", "neo4j", *options], home=staging, cache=server.cache)
    on_progress("the store's files", 1, 1)


def _write_tables(archive: Path, tables: Path, on_progress: Progress) -> None:
    writers = {name: pq.ParquetWriter(table_path(tables, name), pa.schema(kinds)) for name, kinds in FILES.items()}
    try:

        def write(name: str, *columns: Any) -> None:
            kinds = FILES[name]
            arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds.values(), strict=True)]
            writers[name].write_table(pa.table(arrays, schema=writers[name].schema))

        runs = [node["run_id"] for node in read_nodes(archive, "runs")]
        write("Run", range(len(runs)), runs, ["importing"] * len(runs))
        neurons = _write_neurons(archive, write)
        _write_graphs(archive, neurons, write, on_progress)
    finally:
        for writer in writers.values():
            writer.close()


def _write_neurons(archive: Path, write: Any) -> dict[str, tuple[np.ndarray, pd.Index, np.ndarray]]:
    """Write all neurons; of each run its keys in order, its layers, and the numbers of its neurons by key."""
    rows = pd.concat([RowReader(archive, "neurons").take(0), *read_rows(archive, "neurons", ROWS_AT_ONCE)])
    write("Neuron", np.arange(len(rows)), *(rows[name] for name in ("run_id", "layer", "index", "kind")))
    rows["number"] = np.arange(len(rows))
    found = {}
    for run_id, of_run in rows.groupby("run_id", sort=False):
        layers = pd.Index(of_run["layer"].unique())
        keys = _keys(of_run["layer"], of_run["index"], layers)
        order = np.argsort(keys)
        found[str(run_id)] = (keys[order], layers, of_run["number"].to_numpy()[order])
    return found


def _write_graphs(archive: Path, neurons: dict[str, Any], write: Any, on_progress: Progress) -> None:
    nodes = read_nodes(archive, "graphs")
    states, edges = RowReader(archive, "states"), RowReader(archive, "edges")
    about_all = [[node["properties"][name] for node in nodes] for name in ("graph_id", "run_id", "content_hash")]
    write("AttributionGraph", range(len(nodes)), *about_all, ["importing"] * len(nodes))
    first_state = 0
    for number, node in enumerate(nodes):
        about = node["properties"]
        rows = states.take(about["node_count"])
        numbers = np.arange(first_state, first_state + len(rows))
        write("NeuronState", numbers, *(rows[name] for name in list(STATE)[1:]))
        write("HAS_STATE", np.full(len(rows), number), numbers)
        neuron_keys, layers, neuron_numbers = neurons[about["run_id"]]
        write("STATE_OF", numbers, neuron_numbers[_places(neuron_keys, _keys(rows["layer"], rows["index"], layers))])
        _write_edges(edges, about, rows, first_state, write)
        first_state += len(rows)
        on_progress("graphs prepared", number + 1, len(nodes))


def _write_edges(edges: RowReader, about: dict[str, Any], states: pd.DataFrame, first_state: int, write: Any) -> None:
    layers = pd.Index(about["layers"])
    keys = _keys(states["layer"], states["index"], layers)
    left = about["edge_count"]
    while left:
        rows = edges.take(min(left, ROWS_AT_ONCE))
        ends = [
            first_state + _places(keys, _keys(rows[f"{end}_layer"], rows[f"{end}_index"], layers))
            for end in ("source", "target")
        ]
        write("INFLUENCES", *ends, rows["weight"], rows["abs_weight"])
        left -= len(rows)


def _keys(layers: pd.Series, indices: pd.Series, known: pd.Index) -> np.ndarray:
    """One number a neuron, in the order of the known layers and of indices."""
    return known.get_indexer(layers) * LARGEST_INDEX + indices.to_numpy()


def _places(sorted_keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    places = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    if (sorted_keys[places] != wanted).any():
        raise AttrGraphError(
            "a graph of the archive has an edge or a state of a neuron that is not in it; export again"
        )
    return places
