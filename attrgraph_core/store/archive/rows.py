"""Reading an archive's tables: whole ones of few nodes, and long ones a piece at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from attrgraph_core.store.archive.manifest import table_path
from attrgraph_core.store.archive.property_columns import to_rows
from attrgraph_core.store.archive.tables import GRAPH_TABLES, PROPERTY_TABLES, ROW_TABLES

ROWS_AT_ONCE = 100_000


def read_nodes(folder: Path, name: str) -> list[dict[str, Any]]:
    """The nodes of a table: its key and its links, by their names (missing ones None), and a map of `properties`."""
    table = PROPERTY_TABLES[name]
    nodes = []
    for row in to_rows(pq.read_table(table_path(folder, name))):
        links = {link: row.pop(link, None) for link in table.links}
        nodes.append({table.key: row[table.key], **links, "properties": row})
    return nodes


def read_rows(folder: Path, name: str, row_count: int) -> Iterator[pd.DataFrame]:
    """The rows of a long table, `row_count` at a time."""
    reader = RowReader(folder, name)
    while len(rows := reader.take(row_count)):
        yield rows


class RowReader:
    """A long table that is read from its beginning to its end, by as many rows as are asked for."""

    def __init__(self, folder: Path, name: str):
        schema = (ROW_TABLES | GRAPH_TABLES)[name]
        self._batches = pq.ParquetFile(table_path(folder, name)).iter_batches(ROWS_AT_ONCE, columns=schema.names)
        self._left: pa.Table = schema.empty_table()

    def take(self, row_count: int) -> pd.DataFrame:
        """The next rows, fewer at the end; texts as texts."""
        parts, found = [self._left], self._left.num_rows
        while found < row_count and (batch := next(self._batches, None)) is not None:
            parts.append(pa.Table.from_batches([batch]))
            found += batch.num_rows
        whole = pa.concat_tables(parts)
        self._left = whole.slice(row_count)
        return _as_texts(whole.slice(0, row_count)).to_pandas()


def _as_texts(table: pa.Table) -> pa.Table:
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
