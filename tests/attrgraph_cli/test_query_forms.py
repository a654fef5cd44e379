"""Completion, plans, pictures and saved circuits of `attrgraph query`, and `attrgraph graph`, as a shell sees them."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from attrgraph_cli.main import app
from attrgraph_core.drawing.communities import COLOURS
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from tests.random_graphs import make_random_graph

pytestmark = pytest.mark.neo4j
RUN = "query-forms"


@pytest.fixture(scope="module")
def graph_id(neo4j_connection: Connection):
    with GraphStore.open(neo4j_connection) as store:
        yield store.save(make_random_graph(0), run_id=RUN, stage=1, epoch=0, edge_mass=1.0).graph_id
        store.delete_run(RUN)


@pytest.fixture
def attrgraph(environment_store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    def run(*arguments: str, **more: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env=more, prog_name="attrgraph")

    return run


def test_the_answer_as_pictures_and_as_a_circuit(attrgraph, graph_id, tmp_path, neo4j_connection):
    (tmp_path / "dagster").mkdir()
    asked = ("query", "greedy_edges", "-p", f"graph_id={graph_id}", "-p", "edge_count=6")
    ended = attrgraph(
        *asked, "--png", "a.png", "--svg", "a.svg", "--html", "a.html", "--input-shape", "none", "--save",
        DAGSTER_HOME=str(tmp_path / "dagster"),
    )  # fmt: skip
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout == ""  # the pictures are the answer
    assert {"a.png", "a.svg", "a.html"} <= {path.name for path in tmp_path.iterdir()}
    written = {line.removeprefix("wrote ") for line in ended.stderr.splitlines() if line.startswith("wrote ")}
    assert written == {str(tmp_path / name) for name in ("a.png", "a.svg", "a.html")}
    saved = dict(line.split(" = ") for line in ended.stderr.splitlines() if " = " in line)
    assert saved["asset"] == "saved_circuits/greedy_edges"
    with GraphStore.open(neo4j_connection) as store:
        found = store.run_cypher(
            "MATCH (c:Circuit {circuit_id: $id})-[:FOUND_IN]->(g) RETURN c.query AS query, g.graph_id AS graph_id",
            {"id": saved["circuit_id"]},
        )
    assert found.to_dict("records") == [{"query": "greedy_edges", "graph_id": graph_id}]


def test_communities_are_drawn_in_their_colours(attrgraph, graph_id, tmp_path):
    asked = ("query", "communities", "-p", f"graph_id={graph_id}", "--svg", "a.svg", "--html", "a.html")
    ended = attrgraph(*asked, "-f", "csv", "-o", "rows.csv")
    assert ended.exit_code == 0, ended.stderr
    groups = pd.read_csv(tmp_path / "rows.csv")["community"].unique()
    drawn = [(tmp_path / name).read_text(encoding="utf-8") for name in ("a.svg", "a.html")]
    assert len(groups) > 1
    assert all(COLOURS[group] in text for group in groups for text in drawn)


def test_a_run_and_a_target_say_which_graph_is_meant(attrgraph, graph_id, neo4j_connection):
    with GraphStore.open(neo4j_connection) as store:
        graph = replace(make_random_graph(1), target="class:1")
        of_class = store.save(graph, run_id=RUN, stage=1, epoch=0, edge_mass=1.0).graph_id
    ended = attrgraph("query", "graph_edges", "--run", RUN[:-1], "--target", "class:1")
    assert f"graph_id = {of_class}" in ended.stderr
    ended = attrgraph("query", "graph_edges", "-p", "graph_id=latest", "--run", RUN)
    assert f"graph_id = {graph_id}" in ended.stderr
    ended = attrgraph("query", "faithful_circuits", "--target", "class:1")  # it has a parameter of that name
    assert ended.exit_code == 0, ended.stderr
    ended = attrgraph("graph", "export", "latest", "a.graphml", "--run", RUN, "--target", "class:1")
    assert f"of {of_class} as graphml" in ended.stdout


def test_an_imported_graph_is_the_newest_only_where_there_is_no_other(attrgraph, graph_id, neo4j_connection):
    own = ("--run", f"{RUN}-imported")
    assert attrgraph("graph", "export", graph_id, "graph.graphml").exit_code == 0
    imported = attrgraph("graph", "import", "graph.graphml", *own, "--epoch", "2").stdout.strip()
    with GraphStore.open(neo4j_connection) as store:
        try:
            newest = store.query("latest_graph")["graph_id"].item()
            assert newest != imported
            ended = attrgraph("query", "graph_edges", *own)
            assert "this one is from graph.graphml" in ended.stderr
            assert f"graph_id = {imported}" in ended.stderr
            kept = store.save(make_random_graph(0), run_id=f"{RUN}-imported", stage=1, epoch=1, edge_mass=1.0)
            assert store.query("latest_graph", run_id=f"{RUN}-imported")["graph_id"].item() == kept.graph_id
        finally:
            store.delete_run(f"{RUN}-imported")


def test_where_there_are_no_rows_the_query_says_what_it_needs(attrgraph, graph_id):
    ended = attrgraph("query", "saturated_neurons", "--run", RUN)
    assert "0 rows" in ended.stdout
    assert "It is read off two graphs of one epoch and target" in ended.stderr


def test_a_plan_is_a_tree_and_nothing_is_run(attrgraph, graph_id):
    ended = attrgraph("query", "top_edges", "--explain")
    assert ended.exit_code == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "top_edges (estimated rows)"
    assert lines[1].startswith("└── ProduceResults")
    assert "NodeUniqueIndexSeek" in lines[-1]
    ended = attrgraph("query", "--cypher", "MATCH (n:Run) RETURN n", "--explain")
    assert "NodeByLabelScan" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("query", "run_against_run", "--png", "a.png"), "needs the parameter"),
        (("query", "epoch_graphs", "--png", "a.png"), "--save and pictures need a named query"),
        (("query", "--cypher", "RETURN 1", "--save"), "--save and pictures need a named query"),
        (("query", "top_edges", "--png", "gone/a.png"), "there is no folder gone"),
        (("query", "top_edges", "--png", "e.txt"), "--png is e.txt; it is the path of a .png file"),
        (("query", "top_edges", "--html", "a.svg"), "--html is a.svg; it is the path of a .html file"),
        (("query", "top_edges", "--png", "a.png", "--input-shape", "8"), "--input-shape is '8'"),
        (("graph", "import", "gone.json", "--run", "x"), "there is no file gone.json"),
        (("graph", "export", "gone", "a.graphml"), "there is no complete graph 'gone'"),
        (("graph", "export", "gone", "a.graphml"), "`attrgraph query epoch_graphs` shows the"),
        (("graph", "attribute", "x", "--error", "3"), "--error is '3'; it is two classes"),
        (("graph", "attribute", "gone", "--error", "3-8"), "there is no run 'gone'"),
        (("graph", "export", "gone", "a.json"), "three formats are JSON"),
        (("graph", "export", "gone", "a.graphml", "--target", "class:3"), "'gone' is a graph already"),
        (("query", "circuit_through_time"), "`attrgraph query stored_circuits` shows what there is"),
        (("query", "zzzz"), "there is no query 'zzzz'; `attrgraph query --list` shows the"),
        (("query", "graph_sizes", "--target", "label"), "leaves none to choose"),
        (("query", "top_edges", "-p", "graph_id=x", "--run", "y"), "leaves none to choose"),
        (("query", "--cypher", "RETURN 1", "--run", "y"), "your Cypher leaves none to choose"),
        (("query", "top_edges", "--run", RUN, "--target", "class:9"), f"no graph of run {RUN} of target class:9"),
    ],
)
def test_what_cannot_be_is_one_line(attrgraph, graph_id, arguments, message, tmp_path):
    ended = attrgraph(*arguments)
    assert isinstance(ended.exception, AttrGraphError)
    assert message in str(ended.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_goes_out_and_comes_back_and_is_asked_by_the_same_queries(attrgraph, graph_id, neo4j_connection):
    assert attrgraph("graph", "export", graph_id, "graph.graphml").exit_code == 0
    ended = attrgraph("graph", "import", "graph.graphml", "--run", f"{RUN}-imported", "--epoch", "2")
    imported = ended.stdout.strip()
    assert imported == f"{RUN}-imported/stage_1/epoch_2/deeplift/label", ended.stderr
    with GraphStore.open(neo4j_connection) as store:
        try:
            for name in ("top_edges", "pruned_neurons", "strongest_paths", "path_mass"):
                found, expected = (store.query(name, graph_id=own) for own in (imported, graph_id))
                pd.testing.assert_frame_equal(found, expected)
        finally:
            store.delete_run(f"{RUN}-imported")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("attrgraph query strongest_p", ["strongest_paths", "strongest_paths_gds"]),
        ("attrgraph query top_edges --param b", ["by=weight", "by=share"]),
        ("attrgraph query top_edges --param top_k=3 --param ", ["graph_id=", "by=weight", "by=share"]),
        ("attrgraph query nothing --param ", []),
    ],
)
def test_a_shell_completes_names_and_parameters(attrgraph, typed, words):
    """What `attrgraph --install-completion bash` makes the shell ask."""
    asked = {"_ATTRGRAPH_COMPLETE": "complete_bash", "COMP_WORDS": typed}
    ended = attrgraph(**asked, COMP_CWORD=str(len(typed.split(" ")) - 1))
    assert ended.stdout.split() == words
