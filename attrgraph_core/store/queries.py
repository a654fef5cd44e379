"""The only door to `cypher/`: queries by name, and the values they are asked with."""

import difflib
import functools
from pathlib import Path

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.cypher_query import CypherQuery, parse_query
from attrgraph_core.store.parameters import check_parameters, coerce

__all__ = ["CypherQuery", "check_parameters", "coerce", "load_query", "query_folders", "query_names"]

CYPHER_FOLDER = Path(__file__).parents[2] / "cypher"  # beside the packages, in a checkout and in a wheel alike


def query_names(folder: str = "analysis") -> tuple[str, ...]:
    """The names of the queries of a folder of `cypher/`, in order."""
    return tuple(sorted(path.stem for path in (CYPHER_FOLDER / folder).glob("*.cypher")))


def query_folders() -> tuple[str, ...]:
    """The folders of `cypher/`."""
    return tuple(sorted(path.name for path in CYPHER_FOLDER.iterdir() if path.is_dir()))


@functools.cache
def load_query(name: str) -> CypherQuery:
    """The query `<name>` of `analysis/`, or `<folder>/<name>`.

    Raises AttrGraphError for an unknown name, with the nearest known ones, and for a header that lies.
    """
    folder, _, stem = name.rpartition("/")
    folder = folder or "analysis"
    known = query_names(folder) if folder in query_folders() else ()
    if stem not in known:
        near = difflib.get_close_matches(stem, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        rest = f"`attrgraph query --list` shows the {len(query_names())} that there are"
        if folder != "analysis":
            rest = f"known are {', '.join(query_folders())}" if not known else f"{folder} has {len(known)} queries"
        raise AttrGraphError(f"there is no query {name!r}; {hint}{rest}")
    text = (CYPHER_FOLDER / folder / f"{stem}.cypher").read_text(encoding="utf-8")
    return parse_query(stem, text, folder)
