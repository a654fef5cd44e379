import io

import pytest
from rich.console import Console

from attrgraph_cli.cypher_shell import StatementBuffer, format_value, run_shell
from attrgraph_core.errors import AttrGraphError


def statements(*lines: str) -> list[str]:
    buffer = StatementBuffer()
    found = [statement for line in lines for statement in buffer.add(line)]
    return [*found, *([rest] if (rest := buffer.rest()) else [])]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["RETURN 1; RETURN 2;"], ["RETURN 1", "RETURN 2"]),
        (["MATCH (n)", "RETURN n;"], ["MATCH (n)\nRETURN n"]),
        (["RETURN 'a;b', \"c;d\", `e;f`;"], ["RETURN 'a;b', \"c;d\", `e;f`"]),
        ([r"RETURN 'it\'s;';", "RETURN 2;"], [r"RETURN 'it\'s;'", "RETURN 2"]),
        (["RETURN 1 // no; end", "AS one;"], ["RETURN 1 // no; end\nAS one"]),
        (["RETURN /* ; */ 1;"], ["RETURN /* ; */ 1"]),
        (["/* ;", "; */ RETURN 1;"], ["/* ;\n; */ RETURN 1"]),
        ([";;", "RETURN 1"], ["RETURN 1"]),
    ],
)
def test_only_a_semicolon_of_its_own_ends_a_statement(lines, expected):
    assert statements(*lines) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), (0.1 + 0.2, "0.3"), (3, "3"), ("a", "a"), ([1, {"b": None}], "[1, {b: null}]")],
)
def test_values_look_as_in_cypher(value, text):
    assert format_value(value) == text


def piped(connection, text: str, write: bool = False) -> str:
    console = Console(file=io.StringIO(), width=200)
    run_shell(connection, write, console, io.StringIO(text))
    return console.file.getvalue()


@pytest.mark.neo4j
def test_piped_statements_print_tables(neo4j_connection):
    created = piped(neo4j_connection, "CREATE (:ShellTest {x: 1})-[:R]->(:ShellTest {y: [2]});", write=True)
    assert "nodes created: 2" in created
    printed = piped(neo4j_connection, "MATCH path = (:ShellTest {x: 1})-->() RETURN path, 1.5 AS number")
    assert "(:ShellTest {x: 1})-[:R]->(:ShellTest {y: [2]})" in printed
    assert "number" in printed
    deleted = piped(neo4j_connection, "MATCH (node:ShellTest) DETACH DELETE node;", write=True)
    assert "nodes deleted: 2" in deleted


@pytest.mark.neo4j
@pytest.mark.parametrize("statement", ["CREATE (:ShellTest)", "CREATE INDEX shell_test FOR (n:ShellTest) ON (n.x)"])
def test_without_write_nothing_is_written(neo4j_connection, neo4j_driver, statement):
    with pytest.raises(AttrGraphError, match="may only read"):
        piped(neo4j_connection, statement + ";")
    rows, _, _ = neo4j_driver.execute_query("MATCH (node:ShellTest) RETURN count(node) AS count")
    assert rows[0]["count"] == 0
