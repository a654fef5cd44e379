import json

import pytest
from typer.testing import CliRunner

from attrgraph_cli.db import app
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.graph_store import GraphStore
from tests.worked_graph import make_graph

RUN = "archive-test"


@pytest.fixture
def store(environment_store):
    with GraphStore.open(environment_store) as store:
        store.save(make_graph(), run_id=RUN, stage=1, epoch=0, edge_mass=1.0)
        yield store
        if len(store.run_cypher("MATCH (run:Run {run_id: $id}) RETURN run", {"id": RUN})):
            store.delete_run(RUN)


@pytest.mark.neo4j
def test_a_run_goes_out_and_comes_back(store, tmp_path):
    runner, folder = CliRunner(), tmp_path / "archive"
    store.annotate_run(RUN, name="named")
    exported = runner.invoke(app, ["export", str(folder), "--run", "named"])
    assert exported.exit_code == 0, exported.output
    assert "1 runs, 1 graphs, 5 edges" in exported.output
    assert json.loads((folder / "manifest.json").read_text())["runs"] == [RUN]
    refused = runner.invoke(app, ["import", str(folder)])
    assert isinstance(refused.exception, AttrGraphError)
    assert "is in the store already" in str(refused.exception)
    store.delete_run(RUN)
    offline = runner.invoke(app, ["import", str(folder), "--way", "offline"])
    assert "whose files are not to be touched from here; import through the server (--way server)" in str(
        offline.exception
    )
    imported = runner.invoke(app, ["import", str(folder)])
    assert imported.exit_code == 0, imported.output
    assert "through the server: NEO4J_URI names a server of yours" in imported.output
    assert "1 runs with 1 graphs and 5 edges are in the store." in imported.output
    assert len(store.graph(f"{RUN}/stage_1/epoch_0/deeplift/label").edges) == 5


@pytest.mark.neo4j
def test_size_counts_by_kind_and_by_run(store):
    shown = CliRunner().invoke(app, ["size"])
    assert shown.exit_code == 0, shown.output
    cells = [[cell.strip() for cell in line.split("│")] for line in shown.output.splitlines() if "│" in line]
    assert ["", RUN, "unknown", "1", "5", "5", "0.0 MB", ""] in cells
    kinds = {row[1]: row[2] for row in cells}
    everything = store.run_cypher("MATCH ()-[edge:INFLUENCES]->() RETURN count(edge) AS count")["count"][0]
    assert kinds["[INFLUENCES]"] == f"{everything:,}"


def test_a_folder_that_is_no_archive_is_refused_before_a_server_is_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("NEO4J_URI", "bolt://127.0.0.1:9")
    monkeypatch.setenv("NEO4J_PASSWORD", "x")
    refused = CliRunner().invoke(app, ["import", str(tmp_path)])
    assert f"{tmp_path} is no archive of runs" in str(refused.exception)
