"""The notebook runs from the first cell to the last, and ends with a circuit that is measured."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "explore.ipynb"
RUN = "explore-notebook"


def test_it_is_kept_without_outputs():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)


@pytest.mark.neo4j
# The kernel's own client of ZeroMQ, and the loop that nbclient makes for it.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_runs(environment_store: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with GraphStore.open(environment_store) as store:
        try:
            NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
            outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
            assert any("image/png" in output.get("data", {}) for output in outputs)
            found = store.query("circuit_evidence", run_id=RUN)
            assert found["query"].tolist() == ["greedy_edges"]
            assert found["faithfulness"][0] > found["random_faithfulness"][0]
        finally:
            store.delete_run(RUN)
