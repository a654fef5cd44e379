"""The README holds: its example runs as written, its commands, links and exit codes are real."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from attrgraph_cli import db
from attrgraph_cli import main as command_line
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = typer.main.get_command(command_line.app).commands
LIBRARY_RUN = "by-hand"  # the run_id of the README's by_hand.py


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the README's files: each code block that begins with a comment naming one."""
    for name, text in re.findall(r"^```\w+\n# (\w+\.\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def library_run(neo4j_connection: Connection) -> Iterator[dict[str, str]]:
    """The environment for a process that writes into the session's server; what it wrote is deleted."""
    yield {
        "NEO4J_URI": neo4j_connection.uri,
        "NEO4J_USER": neo4j_connection.user,
        "NEO4J_PASSWORD": neo4j_connection.password,
    }
    with GraphStore.open(neo4j_connection) as store:
        store.delete_run(LIBRARY_RUN)


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )


def test_the_experiment_is_valid(project):
    checked = run(project, "-m", "attrgraph_cli.main", "run", "my_experiment.yaml", "--check")
    assert checked.returncode == 0, checked.stderr
    assert "experiment 'my_experiment' is valid: 2 stages, seeds [0, 1]" in checked.stdout.replace("\n", " ")
    files = {path.name for path in project.iterdir()} - {"__pycache__"}
    assert files == {"my_project.py", "my_experiment.yaml", "by_hand.py"}


@pytest.mark.neo4j
def test_the_library_example_runs(project, library_run):
    done = run(project, "by_hand.py", **library_run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("% of the weights took a step")


def test_the_table_of_commands_is_that_of_the_command_line():
    known = set()
    for name, command in COMMANDS.items():
        nested = getattr(command, "commands", None)  # of a group
        known |= {f"{name} {sub}" for sub in nested} if nested else {name}
    assert set(re.findall(r"^\| `attrgraph ([a-z ]+?)(?: [A-Z_ ]+)?` \|", README, re.MULTILINE)) == known


def test_every_option_in_the_table_is_known():
    for name, text in re.findall(r"^\| `attrgraph (run|query|ui)\b[^|]*\| (.*?) \|$", README, re.MULTILINE):
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z]+", text)) <= options


def test_the_exit_codes_are_those_of_the_command_line():
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    ours = {
        command_line.EXIT_ERROR,
        command_line.EXIT_DEFECT,
        command_line.EXIT_INTERRUPTED,
        db.EXIT_CODE_NOT_RUNNING,
    }
    assert codes == ours | {0, 2}  # 2 is click's


def test_every_variable_is_read_somewhere_and_the_readme_names_all():
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("attrgraph_core", "attrgraph_cli", "pipelines")
        for path in (ROOT / folder).rglob("*.py")
    )
    read = set(re.findall(r'"(ATTRGRAPH_[A-Z0-9_]+)"', code)) - {"ATTRGRAPH_DEBUG"}  # set by --debug
    assert set(re.findall(r"`(ATTRGRAPH_[A-Z0-9_]+)`", README)) == read


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_of_the_repository(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
