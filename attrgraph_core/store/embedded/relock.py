"""Resolve Neo4j's dependencies anew and write `artefacts.lock`: `python -m attrgraph_core.store.embedded.relock`.

Run when a version below changes, and commit what it wrote. jgo resolves the coordinates in the public repository, takes
minutes at first, and gives the sums; users then fetch exactly these files.
"""

import zipfile
from pathlib import Path

import jgo
from rich.console import Console

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.embedded.artefacts import LOCK_PATH, Artefact, format_lock, sha256_of

COORDINATES = (
    "org.neo4j:neo4j:5.26.30",
    "org.neo4j.app:neo4j-server:5.26.30",
    "org.neo4j.gds:proc:2.13.9",
    "org.neo4j.gds:opengds-extension:2.13.9",
    "org.neo4j.client:neo4j-browser:5.24.0",
)
PLUGIN_GROUP = "org.neo4j.gds"
PROCEDURE_ANNOTATIONS = (
    b"Lorg/neo4j/procedure/Procedure;",
    b"Lorg/neo4j/procedure/UserFunction;",
    b"Lorg/neo4j/procedure/UserAggregationFunction;",
)


def repository_path(group: str, artifact: str, version: str, classifier: str | None, packaging: str) -> str:
    """Where Maven's repository layout keeps a file: `org/neo4j/neo4j/5.26.30/neo4j-5.26.30.jar`."""
    suffix = f"-{classifier}" if classifier else ""
    return f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}{suffix}.{packaging}"


def declares_procedures(jar: Path) -> bool:
    """Whether a class of `jar` carries one of Neo4j's annotations for procedures and functions."""
    with zipfile.ZipFile(jar) as archive:
        return any(
            annotation in content
            for name in archive.namelist()
            if name.endswith(".class")
            for content in (archive.read(name),)
            for annotation in PROCEDURE_ANNOTATIONS
        )


def resolve_artefacts() -> list[Artefact]:
    """All files that the coordinates need, as jgo resolves them. Raises AttrGraphError when a sum is not jgo's."""
    environment = jgo.build("+".join(COORDINATES))
    if environment.lockfile is None:
        raise AttrGraphError(f"jgo wrote no lock file into {environment.path}; delete that folder and run again.")
    jars = {path.name: path for path in environment.all_jars}
    artefacts = []
    for dependency in environment.lockfile.dependencies:
        path = repository_path(
            dependency.groupId,
            dependency.artifactId,
            dependency.version,
            dependency.classifier,
            dependency.packaging,
        )
        jar = jars[path.rpartition("/")[2]]
        sha256 = sha256_of(jar)
        if sha256 != dependency.sha256:
            raise AttrGraphError(f"{jar} has not the sum that jgo noted; delete it and run again.")
        is_plugin = dependency.groupId == PLUGIN_GROUP and declares_procedures(jar)
        artefacts.append(Artefact(path, sha256, jar.stat().st_size, is_plugin))
    return artefacts


def main() -> None:
    """Write the lock and say what it holds."""
    artefacts = resolve_artefacts()
    header = (
        "Neo4j, file by file: path in a Maven repository, SHA-256 sum, bytes, and whether it is scanned for procedures."
    )
    header += "\nWritten by `python -m attrgraph_core.store.embedded.relock` from\n" + "\n".join(COORDINATES)
    LOCK_PATH.write_text(format_lock(artefacts, header), encoding="utf-8")
    megabytes = sum(artefact.size for artefact in artefacts) / 1e6
    Console().print(f"{LOCK_PATH}: {len(artefacts)} files, {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
