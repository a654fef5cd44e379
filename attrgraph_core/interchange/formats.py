"""The formats that graphs come from and go to, by name and by a file's suffix."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.interchange.circuit_tracer import read_circuit_tracer, write_circuit_tracer
from attrgraph_core.interchange.eap_ig import read_eap_ig, write_eap_ig
from attrgraph_core.interchange.graphml import read_graphml, write_graphml
from attrgraph_core.interchange.json_fields import read_json
from attrgraph_core.interchange.parquet import read_parquet, write_parquet
from attrgraph_core.interchange.summit import read_summit, write_summit


@dataclass(frozen=True)
class Format:
    """How a file is read and written."""

    read: Callable[[Path], AttributionGraph]
    write: Callable[[AttributionGraph, Path], None]


FORMATS = {
    "graphml": Format(read_graphml, write_graphml),
    "parquet": Format(read_parquet, write_parquet),
    "summit": Format(read_summit, write_summit),
    "circuit_tracer": Format(read_circuit_tracer, write_circuit_tracer),
    "eap_ig": Format(read_eap_ig, write_eap_ig),
}
SUMMIT_FILE = re.compile(r"ag-[^/]+\.json")
SUFFIXES = {".graphml": "graphml", ".xml": "graphml", ".parquet": "parquet"}


def import_graph(path: Path, format: str | None = None) -> AttributionGraph:
    """The graph of a file. A JSON file's format is seen by its fields where it is not named.

    Raises AttrGraphError for an unknown format, and for a bad file, naming the field.
    """
    if not path.is_file():
        raise AttrGraphError(f"there is no file {path} to import")
    return FORMATS[format or _format_of(path, reading=True)].read(path)


def export_graph(graph: AttributionGraph, path: Path, format: str | None = None) -> str:
    """Write a graph to a file, which is there whole or not at all; the format.

    Raises AttrGraphError for an unknown format or folder, and for a graph that a format has no place for.
    """
    name = check_export(path, format)
    part = path.with_name(f".{path.name}.part")
    try:
        FORMATS[name].write(graph, part)
        part.replace(path)
    except OSError as error:
        raise AttrGraphError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return name


def check_export(path: Path, format: str | None = None) -> str:
    """The format that a file would be written in. Raises AttrGraphError for an unknown format or folder."""
    name = format or _format_of(path, reading=False)
    if not path.parent.is_dir():
        raise AttrGraphError(f"there is no folder {path.parent} to write {path.name} to")
    return name


def as_target(graph: AttributionGraph, target: str | None) -> AttributionGraph:
    """The graph with another target's name, where one is given: what a file's format does not tell."""
    return graph if target is None else replace(graph, target=target)


def _format_of(path: Path, reading: bool) -> str:
    if path.suffix in SUFFIXES:
        return SUFFIXES[path.suffix]
    if SUMMIT_FILE.fullmatch(path.name) and not reading:
        return "summit"
    if path.suffix == ".json" and reading:
        fields = set(read_json(path).mapping())
        return "eap_ig" if "cfg" in fields else "circuit_tracer" if "nodes" in fields else "summit"
    known = ", ".join(FORMATS)
    if path.suffix == ".json":
        raise AttrGraphError(
            f"three formats are JSON; name one for {path.name}: --format summit, circuit_tracer, eap_ig "
            "(ag-<class>.json is SUMMIT's)"
        )
    raise AttrGraphError(f"the format of {path.name} is unknown; name it by --format: {known}")
