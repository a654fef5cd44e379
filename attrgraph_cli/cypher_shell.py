"""A small shell for Cypher: statements end with `;`, rows come as tables, an error takes a line.

A session reads unless it was opened to write: then the server itself refuses a write, whatever the statement looks
like.
"""

import sys
from collections.abc import Iterator
from typing import LiteralString, TextIO, cast

import neo4j
from neo4j.exceptions import DriverError, Neo4jError
from neo4j.graph import Node, Path, Relationship
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection, describe_driver_error

SHOWN_ROWS = 1000
WIDTH_WITHOUT_TERMINAL = 200


class StatementBuffer:
    """Lines in, whole statements out. A `;` inside quotes, backquotes or comments ends nothing."""

    def __init__(self) -> None:
        self._text = ""
        self._open = ""  # what we are inside of: a quote sign, "//", "/*", or nothing

    @property
    def is_empty(self) -> bool:
        """Whether no statement has begun."""
        return not self._text.strip()

    def clear(self) -> None:
        """Forget the statement that has begun."""
        self._text, self._open = "", ""

    def add(self, line: str) -> Iterator[str]:
        """Take `line`; give every statement that it completes, without its `;`."""
        position = 0
        line = line.rstrip("\n") + "\n"
        while position < len(line):
            sign, pair = line[position], line[position : position + 2]
            step = 1
            if self._open in ("'", '"') and sign == "\\":
                step = 2
            elif self._open in ("'", '"', "`"):
                self._open = "" if sign == self._open else self._open
            elif self._open == "//":
                self._open = "" if sign == "\n" else "//"
            elif self._open == "/*":
                if pair == "*/":
                    self._open, step = "", 2
            elif pair in ("//", "/*"):
                self._open, step = pair, 2
            elif sign in "'\"`":
                self._open = sign
            elif sign == ";":
                statement, self._text = self._text.strip(), ""
                position += 1
                if statement:
                    yield statement
                continue
            self._text += line[position : position + step]
            position += step

    def rest(self) -> str:
        """A last statement without its `;`, for input that just ends."""
        text = self._text.strip()
        self.clear()
        return text


def format_value(value: object) -> str:
    """A value as Cypher writes it, nodes as `(:Neuron {index: 3})`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6g}"
        case Node():
            return f"({''.join(f':{label}' for label in sorted(value.labels))}{_format_properties(value)})"
        case Relationship():
            return f"[:{value.type}{_format_properties(value)}]"
        case Path():
            text = format_value(value.nodes[0])
            for node, relationship in zip(value.nodes[1:], value.relationships, strict=True):
                arrow = "-{}->" if relationship.end_node == node else "<-{}-"
                text += arrow.format(format_value(relationship)) + format_value(node)
            return text
        case dict():
            return "{" + ", ".join(f"{name}: {format_value(each)}" for name, each in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(format_value(each) for each in value) + "]"
    return str(value)


def _format_properties(entity: Node | Relationship) -> str:
    properties = dict(entity)
    return f" {format_value(properties)}" if properties else ""


def run_statement(session: neo4j.Session, statement: str, console: Console, timeout: float | None = None) -> None:
    """Run one statement; print its rows, up to a thousand, and what it changed."""
    result = session.run(neo4j.Query(cast(LiteralString, statement), timeout=timeout))
    columns = result.keys()
    rows = result.fetch(SHOWN_ROWS)
    is_cut = result.peek() is not None
    summary = result.consume()
    if columns:
        table = Table(*(escape(column) for column in columns), header_style="bold")
        for row in rows:
            table.add_row(*(Text(format_value(value)) for value in row.values()))  # data are no markup
        console.print(table if rows else "no rows")
        if is_cut:
            console.print(f"... and more: {SHOWN_ROWS} rows are shown")
    if summary.counters.contains_updates or summary.counters.contains_system_updates:
        changes = {name: count for name, count in vars(summary.counters).items() if count and not name.startswith("_")}
        console.print(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in changes.items()))


def run_shell(
    connection: Connection,
    write: bool,
    console: Console,
    source: TextIO | None = None,
    timeout: float | None = None,
) -> None:
    """Read statements from `source` (stdin) until it ends, each of which may take `timeout` seconds.

    A person is prompted and sees errors as lines; piped input stops at its first error, raised as AttrGraphError.
    """
    source = source or sys.stdin
    access = neo4j.WRITE_ACCESS if write else neo4j.READ_ACCESS
    try:
        with (
            neo4j.GraphDatabase.driver(connection.uri, auth=(connection.user, connection.password)) as driver,
            driver.session(default_access_mode=access) as session,
        ):
            if source.isatty():
                _converse(session, connection, write, console, timeout)
            else:
                buffer = StatementBuffer()
                for line in source:
                    for statement in buffer.add(line):
                        run_statement(session, statement, console, timeout)
                if rest := buffer.rest():
                    run_statement(session, rest, console, timeout)
    except (DriverError, Neo4jError) as error:
        raise describe_driver_error(error, connection) from error


def _converse(
    session: neo4j.Session, connection: Connection, write: bool, console: Console, timeout: float | None
) -> None:
    _use_line_editing()
    mode = "reading and writing" if write else "reading only (--write allows writes)"
    console.print(f"{connection.uri}, {mode}. A statement ends with ; and Ctrl-D ends the shell.", highlight=False)
    buffer = StatementBuffer()
    while True:
        try:
            line = input("cypher> " if buffer.is_empty else "   ...> ")
        except KeyboardInterrupt:
            buffer.clear()  # as in other shells: the statement is dropped, the shell stays
            console.print()
            continue
        except EOFError:
            console.print()
            return
        if buffer.is_empty and line.strip().rstrip(";") in (":exit", ":quit", "exit", "quit"):
            return
        for statement in buffer.add(line):
            try:
                run_statement(session, statement, console, timeout)
            except KeyboardInterrupt:
                session.cancel()
                raise AttrGraphError("The running statement was interrupted; the shell has ended.") from None
            except (DriverError, Neo4jError) as error:
                console.print(str(describe_driver_error(error, connection)), style="red", markup=False, highlight=False)


def _use_line_editing() -> None:
    """Arrow keys and a history in `input`, where Python was built with them."""
    try:
        import readline  # noqa: F401
    except ImportError:
        return
