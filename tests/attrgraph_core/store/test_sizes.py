"""What `db size` and `db doctor` say of a real embedded server whose last graph is not in its files yet."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from attrgraph_cli.db import app
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store.doctor import State, examine, read_memory
from attrgraph_core.store.embedded.server import EmbeddedServer
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.sizes import EDGE_BYTES, STATE_BYTES, counted_bytes

pytestmark = pytest.mark.neo4j
SILENT = Console(quiet=True)
WIDTH, FAN_IN = 500, 60
EDGES, STATES = WIDTH * FAN_IN, 2 * WIDTH
BYTES = EDGES * EDGE_BYTES + STATES * STATE_BYTES


def dense_graph() -> AttributionGraph:
    """Two layers of WIDTH neurons, FAN_IN edges into each of the second."""
    of_neurons, of_edges = np.arange(WIDTH), np.arange(EDGES)
    neurons = pd.DataFrame(
        {
            "layer": ["input"] * WIDTH + ["output"] * WIDTH, "index": np.tile(of_neurons, 2),
            "kind": ["input"] * WIDTH + ["output"] * WIDTH, "attribution": 1.0, "abs_attribution": 1.0,
        }
    )  # fmt: skip
    edges = pd.DataFrame(
        {
            "source_layer": "input", "source_index": of_edges // WIDTH, "target_layer": "output",
            "target_index": of_edges % WIDTH, "weight": 1.0, "abs_weight": 1.0,
        }
    )  # fmt: skip
    return AttributionGraph(neurons, edges, "deeplift", "label", "zeros", 1, 0.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("sizes_home")
    folder.chmod(0o700)
    server = EmbeddedServer(folder)
    with GraphStore.open(server.start(SILENT)) as store:
        store.save(dense_graph(), run_id="sizes", stage=1, epoch=0, edge_mass=1.0)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def home(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEO4J_URI", raising=False)
    monkeypatch.setenv("ATTRGRAPH_NEO4J_HOME", str(server.home))


def test_a_graph_counts_before_it_is_in_the_files(server):
    shown = CliRunner().invoke(app, ["size"])
    assert shown.exit_code == 0, shown.output
    assert counted_bytes(STATES, EDGES) == BYTES == 2_980_000
    assert server.database_bytes() < BYTES
    assert "graphs: 3.0 MB, counted by their records" in shown.output
    assert "less than they hold until Neo4j's next checkpoint" in shown.output
    assert re.search(r"sizes .* 30,000 .* 3\.0 MB", shown.output)
    with GraphStore.open(server.connection()) as store:
        assert read_memory(store._database, server).store == BYTES


def test_memory_is_asked_of_the_embedded_server_and_of_one_that_is_not(server):
    for embedded in (server, None):
        found = {finding.what: finding for finding in examine(server.connection(), embedded)}
        assert found["memory"].state is found["heap"].state is State.good
        assert found["memory"].found == "page cache 268 MB, store 3 MB"
        assert re.fullmatch(r"heap 1,0\d\d MB, largest graph 30,000 edges", found["heap"].found)


def test_a_home_that_is_open_to_others_is_named_although_nobody_connects(server):
    runner = CliRunner()
    for path, mode in ((server.password_file, 0o600), (server.home, 0o700)):
        path.chmod(0o755)
        try:
            result = runner.invoke(app, ["doctor", "--problems"])
        finally:
            path.chmod(mode)
        assert result.exit_code == 1, result.output
        assert "open to other users (mode 755)" in result.output
        assert f"chmod {mode:03o}" in result.output
        assert "2 to change." in result.output
    assert runner.invoke(app, ["doctor"]).exit_code == 0
