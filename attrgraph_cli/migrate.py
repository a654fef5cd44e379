"""`attrgraph db migrate`: the schema's versions, which are applied, and applying those that are missing."""

from typing import Annotated

import typer
from rich.console import Console

from attrgraph_core.store.connection import resolve_connection

EXIT_CODE_TO_DO = 1


def migrate(
    check: Annotated[bool, typer.Option("--check", help="Only show; exit code 1 where versions are missing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Apply all again: makes indexes that are gone.")] = False,
) -> None:
    """Show which versions of the schema the database has, and apply those that are missing.

    Every command that opens the store does the same by itself; this one shows it.
    """
    from attrgraph_core.store.database import Database
    from attrgraph_core.store.schema import applied_versions, apply_schema, schema_files

    connection = resolve_connection(console=Console(stderr=True))
    database = Database(connection)
    try:
        before = applied_versions(database.driver, connection)
        missing = [version for version in schema_files() if version not in before]
        applied = [] if check else apply_schema(database.driver, connection, again=again)
    finally:
        database.close()
    for version, query in schema_files().items():
        state = f"applied {before[version]}" if version in before else "applied now" if applied else "missing"
        typer.echo(f"{query.name:<28}{state}")
    if check and missing:
        typer.echo(f"{len(missing)} to apply: attrgraph db migrate")
        raise typer.Exit(EXIT_CODE_TO_DO)
    typer.echo("The schema is up to date.")
