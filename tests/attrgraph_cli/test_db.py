import pytest
from typer.testing import CliRunner

from attrgraph_cli.db import app


@pytest.fixture
def runner(monkeypatch, tmp_path) -> CliRunner:
    """No server is named, and the embedded one has no home yet."""
    monkeypatch.delenv("NEO4J_URI", raising=False)
    monkeypatch.setenv("ATTRGRAPH_NEO4J_HOME", str(tmp_path / "home"))
    return CliRunner()


@pytest.mark.parametrize("command", ["start", "stop", "status", "shell"])
def test_every_command_has_help(runner, command):
    assert runner.invoke(app, [command, "--help"]).exit_code == 0


def test_status_of_no_server_starts_none(runner, tmp_path):
    result = runner.invoke(app, ["status"])
    assert result.exit_code == 3
    assert "not running (attrgraph db start)" in result.stdout
    assert not (tmp_path / "home").exists()


def test_stop_of_no_server_says_so(runner):
    result = runner.invoke(app, ["stop"])
    assert result.exit_code == 0
    assert result.stdout == "The embedded Neo4j was not running.\n"


def test_status_of_a_server_out_of_reach(runner, monkeypatch):
    monkeypatch.setenv("NEO4J_URI", "bolt://127.0.0.1:9")
    monkeypatch.setenv("NEO4J_PASSWORD", "hidden-word")
    result = runner.invoke(app, ["status"])
    assert result.exit_code == 3
    assert "does not answer" in result.stdout
    assert "hidden-word" not in result.stdout


@pytest.mark.neo4j
def test_status_of_a_named_server(runner, environment_store):
    result = runner.invoke(app, ["status"])
    assert result.exit_code == 0
    pairs = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    assert {name: value.strip() for name, value in pairs.items()}.items() >= {
        "way": "NEO4J_URI of the environment",
        "Bolt": environment_store.uri,
        "state": "running",
    }.items()
    started = runner.invoke(app, ["start"])
    assert "nothing to start" in started.stdout
