"""Runs as people handle them: by name, tag and note, one beside another."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.database import Database
from attrgraph_core.store.queries import load_query

LONGEST_NAME, LONGEST_NOTE = 200, 10_000
MOST_NAMED = 5  # of the runs that could be meant


def list_runs(database: Database, experiment: str | None = None, tag: str | None = None) -> pd.DataFrame:
    """All runs, newest first, or those of an experiment or with a tag: the columns of `lookup/runs`."""
    return database.read(load_query("lookup/runs"), {"experiment": experiment, "tag": tag})


def find_run(database: Database, given: str) -> str:
    """The id of the run that has this id or name, is alone of this experiment, or alone has an id that begins so.

    Raises AttrGraphError for none, or several.
    """
    runs = list_runs(database)
    named = runs[(runs["run_id"] == given) | (runs["name"] == given)]["run_id"].tolist()
    named = named or runs[runs["experiment"] == given]["run_id"].tolist()
    found = named or [run_id for run_id in runs["run_id"] if given and run_id.startswith(given)]
    if len(found) == 1:
        return str(found[0])
    if found:
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        raise AttrGraphError(
            f"{given!r} begins {len(found)} runs, the newest first: {', '.join(found[:MOST_NAMED])}{more}; write the "
            "one that is meant, or as much of it as no other begins with"
        )
    near = difflib.get_close_matches(given, [*runs["run_id"], *runs["name"].dropna()], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "attrgraph runs list shows them"
    raise AttrGraphError(f"there is no run {given!r}; {hint}")


def describe_run(database: Database, run_id: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """A run's properties (`experiment`, and its configuration as a mapping, with them), and a table of its stages."""
    row = database.read(load_query("lookup/run"), {"run_id": run_id}).iloc[0]
    properties = {"experiment": row["experiment"], **row["properties"]}
    properties["configuration"] = json.loads(properties.get("configuration") or "{}")
    return properties, database.read(load_query("lookup/run_stages"), {"run_id": run_id})


def compare_runs(database: Database, run_ids: Sequence[str]) -> pd.DataFrame:
    """Runs side by side: a row a setting that differs, then a row a figure of each stage's end; a column a run.

    A cell is None where a run has no such thing. Rows are named `configuration.<key>` and `stage_<k>.<figure>`.
    """
    columns: dict[str, dict[str, Any]] = {}
    for run_id in run_ids:
        properties, stages = describe_run(database, run_id)
        cells = {name: properties.get(name) for name in ("experiment", "seed", "status", "code_version")}
        cells |= _flat("configuration", properties["configuration"])
        for row in stages.to_dict("records"):
            cells |= {
                f"stage_{row['stage']}.{name}": row[name] for name in row if name not in ("stage", "dagster_run_id")
            }
        columns[run_id] = cells
    names = list(dict.fromkeys(name for cells in columns.values() for name in cells))
    table = pd.DataFrame(
        {run_id: [cells.get(name) for name in names] for run_id, cells in columns.items()}, index=names, dtype=object
    )
    table = table.where(table.notna(), None)
    differs = table.apply(lambda row: any(value != row.iloc[0] for value in row), axis=1)
    return table[differs | table.index.str.startswith("stage_")]


def annotate_run(
    database: Database,
    run_id: str,
    name: str | None = None,
    tags: Sequence[str] | None = None,
    note: str | None = None,
) -> None:
    """Give a run a name, tags, a note; None leaves what is there, '' and () remove it.

    Raises AttrGraphError for a name that another run has, or that is an id of one, and for a text that is too long.
    """
    for what, text, longest in (("name", name, LONGEST_NAME), ("note", note, LONGEST_NOTE)):
        if text is not None and len(text) > longest:
            raise AttrGraphError(f"the {what} has {len(text)} letters; {longest} are the most")
    if name and (name != name.strip() or not name.isprintable()):
        raise AttrGraphError(f"name {name!r} has spaces around it, or signs that cannot be printed")
    for tag in tags or ():
        if not tag or not tag.isprintable() or any(sign in tag for sign in " ,") or len(tag) > LONGEST_NAME:
            raise AttrGraphError(f"tag {tag[:50]!r} must be one printable word without commas")
    values = {"called": name, "tags": None if tags is None else list(dict.fromkeys(tags)), "note": note}
    rows = database.write("annotate_run", run_id=run_id, **values)
    if not rows:
        raise AttrGraphError(f"there is no run {run_id!r}")
    if rows[0]["taken_by"] is not None:
        raise AttrGraphError(f"{name!r} is the name of run {rows[0]['taken_by']}; take another")


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    """Nested mappings and lists as one mapping of dotted names: `configuration.stages.1.epochs`."""
    if isinstance(value, Mapping):
        items: Sequence[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list) and any(isinstance(element, Mapping | list) for element in value):
        items = list(enumerate(value, start=1))
    else:
        return {prefix: value}
    return {name: found for key, part in items for name, found in _flat(f"{prefix}.{key}", part).items()}
