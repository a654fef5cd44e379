"""The schema: constraints and indexes from `cypher/schema/`, applied once, in order.

A schema file stays as it was when it was applied, and a change is a new file. A changed file is refused: its statements
say `IF NOT EXISTS`, so applying it again would quietly keep the constraint of before under the name of the new one.
"""

from typing import Any, LiteralString, cast

import neo4j
from neo4j.exceptions import DriverError, Neo4jError

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection, describe_driver_error
from attrgraph_core.store.cypher_query import CypherQuery
from attrgraph_core.store.queries import load_query, query_names


def schema_files() -> dict[int, CypherQuery]:
    """The schema files by version, the number that a file's name begins with."""
    files = {int(name.partition("_")[0]): load_query(f"schema/{name}") for name in query_names("schema")}
    return dict(sorted(files.items()))


def applied_versions(driver: neo4j.Driver, connection: Connection) -> dict[int, str]:
    """When (ISO 8601) each version that the database has was applied. Raises AttrGraphError as `apply_schema`."""
    try:
        return {version: row["applied_at"] for version, row in _checked_rows(driver, schema_files()).items()}
    except (DriverError, Neo4jError, OSError) as error:
        raise describe_driver_error(error, connection) from error


def apply_schema(driver: neo4j.Driver, connection: Connection, again: bool = False) -> list[int]:
    """Apply the schema files that the database has not, or all `again`; the versions that were applied now.

    Raises AttrGraphError for a database with a version that this program does not know, and for a file that changed
    after it was applied.
    """
    try:
        return _apply(driver, schema_files(), again)
    except (DriverError, Neo4jError, OSError) as error:
        raise describe_driver_error(error, connection) from error


def _checked_rows(driver: neo4j.Driver, files: dict[int, CypherQuery]) -> dict[int, dict[str, Any]]:
    """What the database says was applied, by version, refused where it is not what these files are."""
    with driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
        text = load_query("lookup/schema_versions").text
        applied = {row["version"]: row for row in session.run(cast(LiteralString, text)).data()}
    newest = max(applied, default=0)
    if newest > max(files):
        raise AttrGraphError(
            f"the database has schema version {newest}, and this attrgraph knows versions up to {max(files)}; "
            "upgrade attrgraph, or use another database"
        )
    for version, row in applied.items():
        if version not in files or files[version].hash != row["hash"]:
            raise AttrGraphError(
                f"schema file {row['name']} is another than the one this database was made with; put it back and add "
                "the change as a new file with the next number"
            )
    return applied


def _apply(driver: neo4j.Driver, files: dict[int, CypherQuery], again: bool) -> list[int]:
    applied = _checked_rows(driver, files)
    missing = [version for version in files if again or version not in applied]
    with driver.session() as session:
        for version in missing:
            for statement in files[version].statements:
                _run(session, statement)
        if missing:
            _run(session, "CALL db.awaitIndexes(60)")
        for version in missing:
            values = {"version": version, "name": files[version].name, "hash": files[version].hash}
            _run(session, load_query("ingest/write_schema_version").text, values)
    return missing


def _run(session: neo4j.Session, statement: str, values: dict[str, Any] | None = None) -> None:
    """Run a statement, again where another client that applies the schema at the same time came first.

    Deadlocks of two are tried again by the driver. `IF NOT EXISTS` looks before it takes its lock: who waited for the
    lock is told that the constraint exists.
    """

    def work(transaction: neo4j.ManagedTransaction) -> None:
        transaction.run(cast(LiteralString, statement), values or {}).consume()

    try:
        session.execute_write(work)
    except Neo4jError as error:
        if not str(error.code).endswith("AlreadyExists"):
            raise
        session.execute_write(work)
