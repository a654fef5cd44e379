"""What an archive says of itself, `manifest.json`: its version, its runs, and each file's rows, bytes and SHA-256 sum.

An archive is checked whole, before anything is done with it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.archive.tables import GRAPH_TABLES, NAMES, PROPERTY_TABLES, ROW_TABLES
from attrgraph_core.store.schema import schema_files

FORMAT = "attrgraph-archive"
VERSION = 1
FILE = "manifest.json"


@dataclass(frozen=True)
class ArchivedFile:
    """One file of an archive."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """An archive of runs: `files` by the names of their tables.

    `left_out_matches` neurons of its runs match one of a run that is not in the archive, which it does not hold.
    """

    version: int
    schema_version: int
    attrgraph_version: str
    created_at: str
    runs: tuple[str, ...]
    files: dict[str, ArchivedFile]
    left_out_matches: int = 0


def table_path(folder: Path, name: str) -> Path:
    """Where an archive has the table of this name."""
    return folder / f"{name}.parquet"


def write_manifest(folder: Path, runs: Sequence[str], left_out_matches: int) -> Manifest:
    """Sum up the files of an archive that is written, and write `manifest.json` beside them."""
    manifest = Manifest(
        version=VERSION,
        schema_version=max(schema_files()),
        attrgraph_version=version("attrgraph"),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        runs=tuple(runs),
        files={name: _summed(table_path(folder, name)) for name in NAMES},
        left_out_matches=left_out_matches,
    )
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=2)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")
    return manifest


def check_archive(folder: Path) -> Manifest:
    """An archive's manifest, when every file of it is there and as it was written.

    Raises AttrGraphError that names the first file that is missing, of other content, or of a newer version.
    """
    manifest = read_manifest(folder)
    for name in NAMES:
        path = table_path(folder, name)
        if name not in manifest.files or not path.is_file():
            raise AttrGraphError(f"{path} is missing from the archive; copy or export it again")
        if _summed(path) != manifest.files[name]:
            raise AttrGraphError(
                f"{path} is not what {FILE} says: it was cut short or changed. Copy or export the archive again"
            )
        _check_columns(path, name)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """An archive's manifest as it is. Raises AttrGraphError where there is none that this program can read."""
    path = folder / FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError
        if content["version"] < 1:
            raise ValueError
        if content["version"] > VERSION:
            raise AttrGraphError(
                f"{path} is of version {content['version']}, and this attrgraph reads versions up to {VERSION}; "
                "upgrade attrgraph"
            )
        if content["schema_version"] > max(schema_files()):
            raise AttrGraphError(
                f"{path} is of schema version {content['schema_version']}, and this attrgraph knows versions up to "
                f"{max(schema_files())}; upgrade attrgraph"
            )
        files = {name: ArchivedFile(**about) for name, about in content.pop("files").items()}
        return Manifest(**{**content, "runs": tuple(content["runs"]), "files": files})
    except (FileNotFoundError, NotADirectoryError):
        raise AttrGraphError(
            f"{folder} is no archive of runs: it has no {FILE}. Make one: attrgraph db export FOLDER"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise AttrGraphError(f"{path} is damaged or of another program; copy or export the archive again") from None


def _summed(path: Path) -> ArchivedFile:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        rows = pq.read_metadata(path).num_rows
    except pa.ArrowInvalid:
        rows = -1  # cut short
    return ArchivedFile(rows=rows, bytes=path.stat().st_size, sha256=digest)


def _check_columns(path: Path, name: str) -> None:
    """Sums agree with any file that was summed up; its columns must be those of its table, too."""
    if name in PROPERTY_TABLES:
        needed = [PROPERTY_TABLES[name].key, *PROPERTY_TABLES[name].links]
    else:
        needed = (ROW_TABLES | GRAPH_TABLES)[name].names
    missing = set(needed) - set(pq.read_schema(path).names)
    if missing and pq.read_metadata(path).num_rows:
        raise AttrGraphError(f"{path} has no column {min(missing)!r}; export the archive again")
