import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from attrgraph_cli.db import app
from attrgraph_core.store import doctor
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.doctor import State, examine

pytestmark = pytest.mark.neo4j


def states(findings) -> dict[str, State]:
    return {finding.what: finding.state for finding in findings}


@pytest.mark.usefixtures("environment_store")
def test_a_good_store_has_nothing_to_change(store):
    findings = examine(store.connection, None)
    assert {"Neo4j", "driver", "schema", "indexes", "graphs left behind"} <= set(states(findings))
    assert [finding for finding in findings if finding.state is State.change] == []
    assert all(bool(finding.way_out) == (finding.state is not State.good) for finding in findings)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "Nothing must be changed." in result.output


@pytest.mark.usefixtures("environment_store")
def test_an_index_that_is_gone_is_named_and_made_again(store):
    runner = CliRunner()
    store.run_cypher("DROP INDEX circuit_faithfulness", read_only=False)
    try:
        result = runner.invoke(app, ["doctor", "--problems"])
        assert result.exit_code == 1
        assert "without circuit_faithfulness" in result.output
        assert "attrgraph db migrate --again" in result.output
        assert "1 to change." in result.output
    finally:
        assert runner.invoke(app, ["migrate", "--again"]).exit_code == 0
    assert states(examine(store.connection, None))["indexes"] is State.good


def test_a_graph_left_behind_is_found_with_its_age(store, run_id, graph):
    saved = store.save(graph, run_id=run_id, stage=1, epoch=0)
    store.run_cypher(
        "MATCH (g:AttributionGraph {graph_id: $id}) "
        "SET g.status = 'writing', g.written_at = datetime() - duration('PT1H')",
        {"id": saved.graph_id},
        read_only=False,
    )
    (finding,) = [f for f in examine(store.connection, None) if f.what == "graphs left behind" and run_id in f.found]
    assert finding.state is State.advice
    assert "'writing' since 60 min" in finding.found
    assert f"attrgraph runs delete {run_id}" in finding.way_out


def test_a_run_that_is_not_all_imported_is_found(store, run_id, graph):
    store.save(graph, run_id=run_id, stage=1, epoch=0)
    store.finish_run(run_id, "importing")
    (finding,) = [f for f in examine(store.connection, None) if f.what == "graphs left behind" and run_id in f.found]
    assert finding.state is State.advice
    assert finding.found == f"run {run_id} is 'importing', not all there"
    assert f"attrgraph db import FOLDER once more, or attrgraph runs delete {run_id}" in finding.way_out


def test_versions_that_are_too_old_must_change():
    assert doctor._at_least("Neo4j", "5.25.1 community", (5, 26), "upgrade").state is State.change
    assert doctor._at_least("Neo4j", "2025.01.0 enterprise", (5, 26), "upgrade").state is State.good


@pytest.mark.parametrize(
    ("uri", "state"),
    [
        ("bolt://127.0.0.1:7687", State.good),
        ("bolt://localhost", State.good),
        ("bolt://graphs.example:7687", State.advice),
        ("neo4j+s://graphs.example", State.good),
    ],
)
def test_an_open_way_to_another_machine_is_named(uri, state):
    (finding,) = doctor._encryption(Connection(uri, "neo4j", "p", "environment"))
    assert finding.state is state


@pytest.mark.parametrize(
    ("text", "size"), [("256.00MiB", 2**28), ("512m", 2**29), ("1g", 2**30), ("100B", 100), ("", None), (None, None)]
)
def test_sizes_as_neo4j_writes_them(text, size):
    assert doctor._bytes(text) == size


def test_files_open_to_others_and_a_full_disk_must_change(tmp_path, monkeypatch):
    from attrgraph_core.store.embedded.server import EmbeddedServer

    server = EmbeddedServer(tmp_path)
    tmp_path.chmod(0o700)
    server.password_file.write_text("secret")
    server.password_file.chmod(0o640)
    assert states(doctor._privacy(server)) == {"home folder": State.good, "password file": State.change}
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 2**60)
    (finding,) = doctor._disk(server)
    assert (finding.state, "prune" in finding.way_out) == (State.change, True)


GIGABYTE, MEGABYTE = 10**9, 2**20


@pytest.mark.parametrize(
    ("cache", "heap", "machine", "store", "edges", "expected"),
    [
        (256 * MEGABYTE, GIGABYTE, 16 * GIGABYTE, 200 * MEGABYTE, 10**6, {"memory": "", "heap": ""}),
        (
            256 * MEGABYTE, GIGABYTE, 16 * GIGABYTE, 300 * MEGABYTE, 3 * 10**6,
            {"memory": "PAGE_CACHE=512m", "heap": "HEAP=4096m"},
        ),
        (
            256 * MEGABYTE, GIGABYTE, 4 * GIGABYTE, 3 * GIGABYTE, 0,
            {"memory": "the machine has no more: attrgraph db prune", "heap": ""},
        ),
        (
            8 * GIGABYTE, GIGABYTE, 8 * GIGABYTE, GIGABYTE, 0,
            {"memory of the machine": "a smaller heap, or ATTRGRAPH_NEO4J_PAGE_CACHE=4096m,", "memory": "", "heap": ""},
        ),
        (
            8192 * MEGABYTE, 12288 * MEGABYTE, 16384 * MEGABYTE, GIGABYTE, 0,
            {"memory of the machine": "a smaller heap, or ATTRGRAPH_NEO4J_PAGE_CACHE=2048m,", "memory": "", "heap": ""},
        ),
        (
            512 * MEGABYTE, 16000 * MEGABYTE, 16384 * MEGABYTE, 0, 0,
            {"memory of the machine": "a smaller heap: ATTRGRAPH_NEO4J_HEAP=8192m,", "memory": "", "heap": ""},
        ),
        (256 * MEGABYTE, None, None, GIGABYTE, 0, {"memory": "PAGE_CACHE=1024m"}),
        (None, None, None, GIGABYTE, 0, {"memory": "ask who keeps the server"}),
    ],
)  # fmt: skip
def test_memory_is_judged_by_the_store_the_largest_graph_and_the_machine(cache, heap, machine, store, edges, expected):
    findings = list(doctor.judge_memory(doctor.Memory(cache, heap, machine, store, edges), is_embedded=True))
    assert [finding.what for finding in findings] == list(expected)
    for finding in findings:
        assert (finding.way_out == "") is (expected[finding.what] == "")
        assert expected[finding.what] in finding.way_out
        assert finding.state is (
            State.good if not finding.way_out else State.change if finding.what.endswith("machine") else State.advice
        )


def test_a_server_of_yours_is_set_where_it_runs():
    memory = doctor.Memory(256 * MEGABYTE, GIGABYTE, None, GIGABYTE, 0)
    assert next(doctor.judge_memory(memory, is_embedded=False)).way_out == (
        "server.memory.pagecache.size=1024m in the server's neo4j.conf"
    )


def test_a_server_that_is_down_is_said_so_in_one_line():
    environment = os.environ | {"NEO4J_URI": "bolt://127.0.0.1:9", "NEO4J_PASSWORD": "x"}
    for command in ("doctor", "size"):
        ended = subprocess.run(
            [sys.executable, "-m", "attrgraph_cli.main", "db", command],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 1
        assert ended.stdout == ""
        (line,) = ended.stderr.splitlines()
        assert line.startswith("error: Neo4j at bolt://127.0.0.1:9 does not answer. Is it running")
