"""Properties of nodes as columns of a table, and back: each value comes back as the type that it had.

A property has a column of its own name. Where it has values of several types (a learning rate of 1 and one of 0.1),
each type has a column, `<name>:<type>`.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from neo4j.time import DateTime

from attrgraph_core.errors import AttrGraphError

TYPES = {
    "BOOLEAN": pa.bool_(),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "STRING": pa.string(),
    "DATETIME": pa.timestamp("ns", "UTC"),
}
TYPES |= {f"LIST<{name}>": pa.list_(kind) for name, kind in TYPES.items()}
_NAMES = {bool: "BOOLEAN", int: "INTEGER", float: "FLOAT", str: "STRING", DateTime: "DATETIME"}


def to_table(rows: Sequence[Mapping[str, Any]], links: Mapping[str, pa.DataType]) -> pa.Table:
    """A table of rows of properties; `links` are columns that are there in any case. Missing values are null.

    Raises AttrGraphError for a property of a type that no column holds, such as a place on a map.
    """
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in links and value is not None:
                kinds.setdefault(name, set()).add(_kind(name, value))
    columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in links.items()}
    for name, found in sorted(kinds.items()):
        for kind in sorted(found):
            column = name if len(found) == 1 and ":" not in name else f"{name}:{kind}"
            values = [row.get(name) for row in rows]
            columns[column] = pa.array(
                [_stored(value) if value is not None and _kind(name, value) == kind else None for value in values],
                TYPES[kind],
            )
    return pa.table(columns)


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows that a table was made of, without those properties that a row has not."""
    rows: list[dict[str, Any]] = [{} for _ in range(table.num_rows)]
    for column, field in zip(table.columns, table.schema, strict=True):
        stem, _, kind = field.name.rpartition(":")
        name = stem if kind in TYPES else field.name
        is_time = pa.types.is_timestamp(field.type)
        values = column.cast(pa.int64()).to_pylist() if is_time else column.to_pylist()
        for row, value in zip(rows, values, strict=True):
            if value is not None:
                row[name] = _time(value) if is_time else value
    return rows


def _kind(name: str, value: Any) -> str:
    if isinstance(value, list):
        kinds = {_kind(name, element) for element in value} or {"STRING"}
        if len(kinds) == 1 and not (kind := kinds.pop()).startswith("LIST"):
            return f"LIST<{kind}>"
    elif type(value) in _NAMES:
        return _NAMES[type(value)]
    raise AttrGraphError(
        f"property {name!r} is {value!r}, of type {type(value).__name__}; an archive holds numbers, texts, true and "
        "false, times, and lists of them. Remove it, or write it as a text"
    )


def _stored(value: Any) -> Any:
    if isinstance(value, list):
        return [_stored(element) for element in value]
    if not isinstance(value, DateTime):
        return value
    whole = value.to_native().replace(microsecond=0)
    return int(whole.timestamp()) * 10**9 + value.nanosecond


def _time(nanoseconds: int) -> DateTime:
    seconds, rest = divmod(nanoseconds, 10**9)
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return DateTime(at.year, at.month, at.day, at.hour, at.minute, at.second, rest, tzinfo=datetime.UTC)
