"""A study in Dagster and in the store: a cell, its report, and the way from a figure to its run and graph."""

from pathlib import Path

import dagster as dg
import pytest

from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from pipelines.assets.study import cell_key, study_assets
from pipelines.resources import GraphStoreResource
from pipelines.study_cells import StudyGrid
from pipelines.study_file import load_study
from pipelines.study_record import record_study
from pipelines.study_run import run_studies
from pipelines.study_summary import cell_table
from tests.pipelines.study_files import SMALL_STUDY


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_STUDY.replace("reference:", "graphs: true\nreference:"), encoding="utf-8")
    return path


def test_a_cell_is_a_partition(file: Path):
    cell, _ = study_assets({"small": load_study(file)})
    assert len(cell.partitions_def.get_partition_keys()) == 20
    result = dg.materialize([cell], partition_key=cell_key("small", "digits", "random", 3))
    (found,) = result.asset_materializations_for_node("study_cell")
    assert found.metadata["status"].value == "complete"
    assert found.metadata["run_id"].value.startswith("study_small-digits-random-seed-3-")
    assert 0 < found.metadata["accuracy"].value < 1


def test_a_study_without_folder_has_no_assets():
    assert study_assets({}) == []


@pytest.mark.neo4j
def test_cells_become_runs_with_their_figures_and_graphs(file: Path, environment_store: Connection):
    study = load_study(file)
    _, report = study_assets({"small": study})
    run_studies([study.as_quick()])
    grid = StudyGrid(study.as_quick())
    cells = cell_table(grid)
    with GraphStore.open(environment_store) as store:
        try:
            assert record_study(grid, store) == 4
            assert record_study(grid, store) == 0  # they are there as they are
            assert set(store.runs("study_small")["run_id"]) == set(cells["run_id"])
            row = cells[cells["method"] == "random"].iloc[0]
            properties, _ = store.describe_run(row["run_id"])
            assert properties["status"] == "complete"
            assert properties["configuration"]["settings"] == grid.choice("digits", "random").settings
            measured = store.run_cypher(
                "MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(stage:Stage) "
                "RETURN stage.kind AS kind, stage.measured_accuracy AS accuracy",
                {"run_id": row["run_id"]},
            )
            assert measured.to_dict("records") == [{"kind": "random", "accuracy": row["accuracy"]}]
            (graph_id,) = store.graphs(row["run_id"])["graph_id"]
            top = store.query("top_influential_neurons", graph_id=graph_id, top_k=3)
            assert len(top) == 3
            cell = grid.test_cell("digits", "random", 0)
            run_studies([study])  # the whole study, of which the report is
            result = dg.materialize(
                [report], partition_key="small", resources={"graph_store": GraphStoreResource()},
                selection=[report],
            )  # fmt: skip
            (found,) = result.asset_materializations_for_node("study_report")
            assert (found.metadata["cells"].value, found.metadata["of"].value) == (20, 20)
            assert len(store.runs("study_small")) >= 20
            assert cell.graph_path.exists()
        finally:
            for run_id in store.runs("study_small")["run_id"]:
                store.delete_run(run_id)
