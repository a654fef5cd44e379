"""The command line as its users meet it: tables and files, errors in a line, exit codes."""

import json
import sys
import uuid

import pandas as pd
import pytest

from attrgraph_cli import main as command_line
from attrgraph_core import AttributionGraph
from attrgraph_core.attribution.methods import METHODS
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore

pytestmark = pytest.mark.neo4j


@pytest.fixture
def attrgraph(monkeypatch, capsys, tmp_path, environment_store: Connection):
    """Runs the command line in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["attrgraph", *arguments])
        capsys.readouterr()
        try:
            command_line.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def graph_id(neo4j_connection: Connection):
    """A stored graph: input/0 -> fc/0 (2.0), input/1 -> fc/0 (-1.0)."""
    neurons = pd.DataFrame({
        "layer": ["input", "input", "fc"], "index": [0, 1, 0], "kind": ["input", "input", "output"],
        "attribution": [2.0, -1.0, 1.0], "abs_attribution": [2.0, 1.0, 1.0],
    })  # fmt: skip
    edges = pd.DataFrame({
        "source_layer": "input", "source_index": [0, 1], "target_layer": "fc", "target_index": [0, 0],
        "weight": [2.0, -1.0], "abs_weight": [2.0, 1.0],
    })  # fmt: skip
    run_id = f"command-line-{uuid.uuid4().hex[:8]}"
    with GraphStore.open(neo4j_connection) as store:
        graph = AttributionGraph(neurons, edges, "deeplift", "label", "zeros", 1, 0.0)
        stored = store.save(graph, run_id=run_id, stage=1, epoch=1, edge_mass=1.0)
        yield stored.graph_id
        store.delete_run(run_id)


def test_help_names_every_command(attrgraph):
    code, out, _ = attrgraph("--help")
    assert code == 0
    assert all(name in out for name in ("run", "query", "methods", "ui", "db", "--debug"))


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (("run",), ["--seed", "--fresh", "--device"]),
        (("query",), ["--param", "--cypher", "--list", "--format", "--output", "--write"]),
        (("ui",), ["--port"]),
        (("db",), ["start", "stop", "status", "shell"]),
    ],
)
def test_help_of_a_command_names_its_options(attrgraph, command, options):
    code, out, _ = attrgraph(*command, "--help")
    assert code == 0
    assert [option for option in options if option not in out] == []


def test_a_list_of_queries_says_what_each_answers(attrgraph):
    code, out, _ = attrgraph("query", "--list")
    assert code == 0
    assert "strongest_paths" in out
    assert "graph_edges" in out


def test_rows_in_every_format(attrgraph, graph_id, tmp_path):
    asked = ("query", "graph_edges", "--param", f"graph_id={graph_id}")
    assert "-1" in attrgraph(*asked)[1]
    code, out, _ = attrgraph(*asked, "--format", "json")
    assert code == 0
    assert [row["weight"] for row in json.loads(out)] == [2.0, -1.0]
    _, out, _ = attrgraph(*asked, "--format", "csv")
    assert out.splitlines()[0].startswith("source_layer,source_index")
    assert len(out.splitlines()) == 3
    code, _, _ = attrgraph(*asked, "--format", "parquet", "--output", str(tmp_path / "rows.parquet"))
    assert code == 0
    assert pd.read_parquet(tmp_path / "rows.parquet")["weight"].tolist() == [2.0, -1.0]


def test_parameters_have_the_types_that_the_query_says(attrgraph, graph_id):
    asked = ("query", "top_influential_neurons", "-p", f"graph_id={graph_id}", "--format", "json")
    assert len(json.loads(attrgraph(*asked, "-p", "top_k=1")[1])) == 1
    code, _, err = attrgraph(*asked, "-p", "top_k=many")
    assert code == 1
    assert "top_k" in err
    assert "many" in err


def test_a_query_that_is_computed_is_asked_as_any_other(attrgraph, graph_id):
    asked = ("query", "path_mass", "-p", f"graph_id={graph_id}", "--format", "json")
    rows = json.loads(attrgraph(*asked)[1])
    assert [row["influence"] for row in rows if row["kind"] == "output"] == [1.0]
    assert {row["kind"] for row in json.loads(attrgraph(*asked, "-p", "kind=input")[1])} == {"input"}


WRONG = {
    "a text that is none of those known": (("query", "neuron_flow", "-p", "by=up"), ["by", "up", "in, out, through"]),
    "a query that is not there": (("query", "strongest_path"), ["strongest_path", "strongest_paths"]),
    "a parameter that is not there": (("query", "graph_edges", "-p", "graph=x"), ["graph", "graph_id"]),
    "a graph that is not there": (("query", "graph_edges", "-p", "graph_id=nowhere"), ["nowhere"]),
    "an experiment that is not there": (("run", "nowhere"), ["nowhere", "path of an experiment file"]),
    "Cypher that is wrong": (("query", "--cypher", "MATCH (n RETURN n"), ["Neo4j at"]),
    "a folder that is not there": (("query", "graph_edges", "-f", "csv", "-o", "nowhere/rows.csv"), ["nowhere"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_one_line_that_names_it(attrgraph, what, tmp_path):
    arguments, words = WRONG[what]
    code, out, err = attrgraph(*arguments)
    assert code == 1
    assert [word for word in words if word not in err] == []
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in out + err
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_debug_shows_where_an_error_came_from(attrgraph):
    code, _, err = attrgraph("query", "strongest_path", "--debug")
    assert code == 1
    assert "Traceback" in err


@pytest.mark.parametrize(
    "arguments",
    [("query",), ("query", "graph_edges", "--list"), ("query", "graph_edges", "-f", "parquet"),
     ("query", "graph_edges", "--write"), ("query", "graph_edges", "--format", "xml"), ("nothing",)],
)  # fmt: skip
def test_wrong_usage_has_its_own_code(attrgraph, arguments):
    code, _, err = attrgraph(*arguments)
    assert code == 2
    assert "Usage" in err


def test_cypher_is_read_only_unless_asked_otherwise(attrgraph, neo4j_connection):
    label = f"Written{uuid.uuid4().hex[:8]}"
    write = f"CREATE (n:{label}) RETURN 1 AS one"
    code, _, err = attrgraph("query", "--cypher", write)
    assert code == 1
    assert "--write" in err
    count = f"MATCH (n:{label}) RETURN count(n) AS found"
    assert json.loads(attrgraph("query", "--cypher", count, "--format", "json")[1]) == [{"found": 0}]
    assert attrgraph("query", "--cypher", write, "--write")[0] == 0
    assert json.loads(attrgraph("query", "--cypher", count, "--format", "json")[1]) == [{"found": 1}]
    attrgraph("query", "--cypher", f"MATCH (n:{label}) DELETE n RETURN 1 AS one", "--write")


def test_a_wrong_password_and_a_server_that_is_gone(attrgraph, monkeypatch):
    monkeypatch.setenv("NEO4J_PASSWORD", "wrong-password")
    code, _, err = attrgraph("query", "epoch_graphs")
    assert code == 1
    assert "refuses user" in err
    assert "wrong-password" not in err
    monkeypatch.setenv("NEO4J_URI", "bolt://127.0.0.1:9")
    code, _, err = attrgraph("query", "epoch_graphs")
    assert code == 1
    assert "does not answer" in err


def test_an_unexpected_error_is_called_ours(attrgraph, monkeypatch):
    def broken(*arguments, **keywords):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(GraphStore, "open", broken)
    code, _, err = attrgraph("query", "epoch_graphs")
    assert code == 70
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("columns", ["80", "200"])
def test_methods_are_shown_in_terminals_of_any_width(attrgraph, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    code, out, _ = attrgraph("methods", "--no-measure")
    assert code == 0
    assert all(f" {name} " in out or f"\n{name}\n" in out for name in METHODS)  # no name is cut or folded
    assert max(map(len, out.splitlines())) <= int(columns)
    assert out.count("not measured") + out.count("measured  ") >= len(METHODS)


def test_methods_are_shown_with_what_they_cost_here(attrgraph):
    code, out, _ = attrgraph("methods", "saliency", "deeplift", "depara", "--format", "json")
    assert code == 0
    saliency, deeplift, depara = json.loads(out)
    assert (saliency["method"], saliency["makes"], saliency["conserves"]) == (
        "saliency", "input neurons", "nothing: a sensitivity",
    )  # fmt: skip
    assert saliency["x a training step"] > 0
    assert deeplift["x a training step"] > 0
    assert (depara["makes"], depara["x a training step"] > 0) == ("graph of probes", True)
    lines = attrgraph("methods", "--no-measure", "-f", "csv")[1].splitlines()
    assert lines[0].startswith("method,makes,needs,conserves")
    assert [line.split(",")[0] for line in lines[1:]] == [*METHODS, "ablation", "summit", "depara"]
    assert "unknown attribution method 'magic'" in attrgraph("methods", "magic")[2]
