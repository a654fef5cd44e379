"""Writing runs to an archive: a folder of Parquet files, one graph after the other, there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.archive.manifest import Manifest, table_path, write_manifest
from attrgraph_core.store.archive.property_columns import to_table
from attrgraph_core.store.archive.tables import GRAPH_TABLES, PROPERTY_TABLES, ROW_TABLES, PropertyTable
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_reader import read_graph
from attrgraph_core.store.queries import load_query

ROW_GROUP = 500_000
UNFINISHED = ("deleting", "importing")

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


def export_runs(
    database: Database, folder: Path, run_ids: Sequence[str] | None = None, on_progress: Progress = lambda *_: None
) -> Manifest:
    """Write runs, all without `run_ids`, with everything that hangs on them to the new folder `folder`.

    Only complete graphs are written, and circuits found in them. Links to a run that is not in the archive are left
    out when it is imported, and matches with its neurons now (`left_out_matches` counts them). Raises AttrGraphError,
    and leaves nothing, where the folder is there already, a run is not or is half deleted, and where a graph is deleted
    or written meanwhile.
    """
    runs = _chosen(database, run_ids)
    with _new_folder(folder) as part:
        rows = {
            name: [row for run_id in runs for row in _property_rows(database, name, table, run_id)]
            for name, table in PROPERTY_TABLES.items()
        }
        for name, table in PROPERTY_TABLES.items():
            pq.write_table(to_table(rows[name], table.link_types), table_path(part, name), compression="zstd")
        left_out = 0
        for name, schema in ROW_TABLES.items():
            with _RowWriter(table_path(part, name), schema) as writer:
                for run_id in runs:
                    found = database.read(load_query(f"export/{name}"), {"run_id": run_id})
                    if name == "matches":
                        is_inside = found["run_id"].isin(runs) & found["other_run_id"].isin(runs)
                        left_out += int((~is_inside).sum())
                        found = found[is_inside & (found["run_id"] == run_id)]  # the other run gives them, too
                    writer.write(found)
        _write_graphs(database, part, [row["graph_id"] for row in rows["graphs"]], rows["graphs"], on_progress)
        return write_manifest(part, runs, left_out)


def _chosen(database: Database, run_ids: Sequence[str] | None) -> list[str]:
    states = database.read(load_query("lookup/run_states"), {}).set_index("run_id")["status"].to_dict()
    if run_ids is None:
        run_ids = [run_id for run_id, status in states.items() if status not in UNFINISHED]
        if not run_ids:
            raise AttrGraphError("there is no run to export; attrgraph run makes one")
    for run_id in run_ids:
        if run_id not in states:
            raise AttrGraphError(f"there is no run {run_id!r} to export; there are {', '.join(states) or 'none'}")
        if states[run_id] in UNFINISHED:
            raise AttrGraphError(f"run {run_id!r} is {states[run_id]}, and not whole; finish that first")
    return list(dict.fromkeys(run_ids))


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `folder` when all went well and is removed when not."""
    if folder.exists():
        raise AttrGraphError(f"{folder} is there already; name a new folder, or remove that one")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
        try:
            yield part
            os.replace(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    except OSError as error:
        raise AttrGraphError(f"the archive {folder} cannot be written: {error.strerror or error}") from error


def _property_rows(database: Database, name: str, table: PropertyTable, run_id: str) -> Iterator[dict[str, Any]]:
    for row in database.read(load_query(f"export/{table.query}"), {"run_id": run_id}).to_dict("records"):
        properties: Mapping[str, Any] = row["properties"]
        taken = set(properties) & set(table.links)
        if taken:
            raise AttrGraphError(f"a property of {name} is named {min(taken)!r}, as a column of archives is; rename it")
        yield {**properties, **{column: _or_none(row[source]) for column, (source, _) in table.links.items()}}


def _or_none(value: Any) -> Any:
    return value if isinstance(value, str | list) else None  # a table of pandas has NaN for a missing text


def _write_graphs(
    database: Database, part: Path, graph_ids: Sequence[str], rows: Sequence[Mapping[str, Any]], on_progress: Progress
) -> None:
    with ExitStack() as stack:
        states, edges = (
            stack.enter_context(_RowWriter(table_path(part, name), schema)) for name, schema in GRAPH_TABLES.items()
        )
        for done, (graph_id, row) in enumerate(zip(graph_ids, rows, strict=True), start=1):
            stored = read_graph(database, graph_id)
            if stored is None or stored.properties["content_hash"] != row["content_hash"]:
                raise AttrGraphError(f"graph {graph_id!r} was written or deleted meanwhile; export again")
            states.write(stored.neurons.assign(graph_id=graph_id))
            edges.write(stored.edges.assign(graph_id=graph_id))
            on_progress("graphs exported", done, len(graph_ids))


class _RowWriter:
    """A Parquet file that grows by tables, in row groups of `ROW_GROUP` or more: many small ones are slow to read."""

    def __init__(self, path: Path, schema: pa.Schema):
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[pa.Table] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()

    def write(self, table: pd.DataFrame) -> None:
        """Add rows; columns that the file has not are left out."""
        plain = pa.schema([(field.name, _plain(field.type)) for field in self._schema])
        self._waiting.append(pa.Table.from_pandas(table, plain, preserve_index=False).cast(self._schema))
        if sum(waiting.num_rows for waiting in self._waiting) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).unify_dictionaries())
        self._waiting = []


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
