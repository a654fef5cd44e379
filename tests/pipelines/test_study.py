"""A small study for real: the protocol, resuming, side by side, failures, the report."""

import json
import multiprocessing
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.study.held_out import HeldOut, SealedTest
from attrgraph_core.training.data import load_data
from pipelines import study_cells
from pipelines.questions.efficiency import Efficiency
from pipelines.study_cells import FAILED, TEST, VALIDATION, StudyGrid, load_result, run_cell
from pipelines.study_file import load_study
from pipelines.study_pictures import _leave_out_the_far
from pipelines.study_report import is_on_border, merged, section_of, write_report
from pipelines.study_run import run_one, run_studies, work_side_by_side
from pipelines.study_summary import cell_table, comparison_table
from tests.pipelines.study_files import SMALL_STUDY


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_STUDY, encoding="utf-8")
    return path


@pytest.fixture
def quick(file: Path) -> StudyGrid:
    return StudyGrid(load_study(file).as_quick())


def cells_of(grid: StudyGrid) -> set[str]:
    return {path.stem for path in grid.test_cell("digits", "full", 0).path.parent.glob("*.json")}


def test_settings_are_chosen_on_validation_and_the_test_is_opened_after(quick: StudyGrid, monkeypatch):
    """Every look at the test is by a test cell, after its training, when all trials of its method are there."""
    looks: list[tuple[int, int]] = []
    samples = load_data("digits")
    open_sealed, train = SealedTest.open, Efficiency.train
    trained = 0

    def watched_train(self, task):
        nonlocal trained
        rows = {tuple(row) for row in torch.cat([task.data.train_inputs, task.data.test_inputs]).tolist()}
        assert not rows & {tuple(row) for row in samples.test_inputs.tolist()} - {
            tuple(row) for row in samples.train_inputs.tolist()
        }
        trained += 1
        return train(self, task)

    def watched_open(self) -> HeldOut:
        looks.append((trained, len([name for name in cells_of(quick) if VALIDATION in name])))
        return open_sealed(self)

    monkeypatch.setattr(Efficiency, "train", watched_train)
    monkeypatch.setattr(SealedTest, "open", watched_open)
    run_studies([quick.study])
    assert len(quick.trials) == 4  # two methods, two rates, one seed
    assert looks == [(5, 4), (6, 4), (7, 4), (8, 4)]
    for method in ("full", "random"):
        choice = quick.choice("digits", method)
        assert choice.settings == max(choice.scores, key=lambda found: found[1][0])[0]
        assert dict(quick.test_cell("digits", method, 0).settings) == choice.settings


def test_a_cell_with_other_settings_than_the_chosen_ones_is_no_result(quick: StudyGrid):
    run_studies([quick.study])
    right = quick.test_cell("digits", "full", 0)
    other = next(trial for trial in quick.trials_of("digits", "full") if trial.settings != right.settings)
    forged = study_cells.Cell("small", "digits", "full", TEST, 0, other.settings, "0" * 12)
    assert "not those that validation chose" in run_cell(quick, forged).error


def test_what_is_done_is_not_done_again(quick: StudyGrid, monkeypatch: pytest.MonkeyPatch):
    run_studies([quick.study])
    before = {cell: load_result(cell) for cell in [*quick.trials, *quick.tests()]}
    gone = quick.test_cell("digits", "random", 1)
    gone.path.unlink()
    ran: list[str] = []
    real = study_cells.run_cell
    monkeypatch.setattr("pipelines.study_run.run_cell", lambda grid, cell: ran.append(cell.run_id) or real(grid, cell))
    run_studies([quick.study])
    assert ran == [gone.run_id]
    after = load_result(gone)
    assert after is not None
    assert after.measures["accuracy"] == before[gone].measures["accuracy"]  # the same bits again
    assert run_one(quick, "digits", "full", 0) == quick.test_cell("digits", "full", 0)
    assert len(ran) == 1


def test_a_failed_cell_is_kept_shown_and_run_again_when_asked(file: Path, tmp_path: Path):
    file.write_text(SMALL_STUDY.replace("[0.01, 0.02]", "[0.01, 1.0e+9]"), encoding="utf-8")
    study = load_study(file).as_quick()
    run_studies([study])
    grid = StudyGrid(study)
    lost = [result for trial in grid.trials if (result := load_result(trial)).status == FAILED]
    assert {result.settings["learning_rate"] for result in lost} == {1e9}
    assert all("training diverged" in result.error for result in lost)
    assert grid.choice("digits", "full").settings == {"learning_rate": 0.01}
    write_report([grid], tmp_path / "study.md")
    assert "- `full` on digits: 1 trials on validation" in (tmp_path / "study.md").read_text(encoding="utf-8")
    times = {trial: trial.path.stat().st_mtime_ns for trial in grid.trials}
    run_studies([study], retry_failed=True)
    again = {trial.settings for trial in grid.trials if trial.path.stat().st_mtime_ns != times[trial]}
    assert again == {(("learning_rate", 1e9),)}


def test_a_method_that_always_fails_is_a_row_of_failures(file: Path, tmp_path: Path):
    file.write_text(SMALL_STUDY.replace("[0.01, 0.02]", "[1.0e+8, 1.0e+9]"), encoding="utf-8")
    grid = StudyGrid(load_study(file).as_quick())
    run_studies([grid.study])
    cells = cell_table(grid)
    assert len(cells) == 4
    assert all(error.startswith("no setting came through all trials on validation; the ") for error in cells["error"])
    assert all("training diverged" in error for error in cells["error"])
    write_report([grid], tmp_path / "study.md")
    assert "0 (2 failed)" in (tmp_path / "study.md").read_text(encoding="utf-8")


def test_a_killed_study_loses_its_running_cells_alone(file: Path, monkeypatch: pytest.MonkeyPatch):
    """`kill -9` of a worker; the same study goes on, and its figures are those of one process."""
    study = load_study(file)
    with monkeypatch.context() as there:
        there.setenv("ATTRGRAPH_RUNS", str(file.parent / "killed"))
        grid = StudyGrid(study)
        folder = grid.trials[0].path.parent

        def kill_worker() -> None:
            while len(list(folder.glob("*.json"))) < 3:
                time.sleep(0.02)
            for worker in multiprocessing.active_children():
                worker.kill()

        killer = threading.Thread(target=kill_worker, daemon=True)
        killer.start()
        with pytest.raises(AttrGraphError, match=r"worker processes ended \(exit codes -9\)"):
            work_side_by_side([study], [grid], jobs=1)
        killer.join()
        done = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
        assert len(done) >= 3
        assert all(json.loads(path.read_text(encoding="utf-8"))["status"] == "complete" for path in done)
        run_studies([study])
        assert {path: path.stat().st_mtime_ns for path in done} == done
        resumed = cell_table(grid)
    run_studies([grid.study])
    pd.testing.assert_series_equal(resumed["accuracy"], cell_table(grid)["accuracy"])
    write_report([grid], file.parent / "page.md")
    page = (file.parent / "page.md").read_text(encoding="utf-8")
    comparison = comparison_table(grid, resumed).iloc[0]
    assert comparison["pairs"] == 10
    assert f"| {comparison['verdict']} |" in page
    assert "Corrected for 1 comparison;" in page
    assert "Quick" not in page


def test_the_report_of_a_quick_form_makes_no_claims(quick: StudyGrid, tmp_path: Path):
    run_studies([quick.study])
    page, picture, table, html = write_report([quick], tmp_path / "study.md")
    text = page.read_text(encoding="utf-8")
    assert "**Quick: no claims.** 2 methods, 1 data set, 2 seeds, 1 tuning seed;" in text
    assert "verdict" not in text
    cells = cell_table(quick)
    assert f"{cells[cells['method'] == 'full']['accuracy'].mean():.4f}" in text
    assert all(run_id in html.read_text(encoding="utf-8") for run_id in cells["run_id"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert table == tmp_path / "study_cells" / "small.csv"
    assert pd.read_csv(table)["run_id"].tolist() == cells["run_id"].tolist()
    # From any figure to its run: the id is spelt by the page.
    row = cells.iloc[0]
    assert row["run_id"] == f"study_small-digits-{row['method']}-seed-{row['seed']}-{row['config_hash']}"
    assert row["config_hash"] in text


def test_a_page_keeps_the_sections_of_other_studies():
    first = merged("", {"b": "## B", "a": "## A"})
    assert first.index("## A") < first.index("## B")
    second = merged(first, {"b": "## New"})
    assert "## A" in second
    assert "## B" not in second
    assert merged(second, {}) == second


def test_a_setting_at_the_border_of_its_grid_is_marked():
    assert is_on_border((0.1, 0.2, 0.4), 0.4)
    assert not is_on_border((0.1, 0.2, 0.4), 0.2)
    assert not is_on_border((0.1, 0.2), 0.2)  # two values have nothing between
    assert not is_on_border(("a", "b", "c"), "a")


def test_a_method_far_from_all_others_does_not_press_them_together():
    from matplotlib.figure import Figure

    panel = Figure().subplots()
    near = [np.array([0.90, 0.91]), np.array([0.92, 0.93]), np.array([0.91, 0.92]), np.array([0.93, 0.94])]
    _leave_out_the_far(panel, [*near, np.array([0.1, 0.2])])
    assert panel.get_xlim() == pytest.approx((0.90 - 0.006, 0.94 + 0.006))
    assert [text.get_text() for text in panel.texts] == ["← 0.15"]


def test_a_damaged_cell_is_named(quick: StudyGrid):
    cell = quick.trials[0]
    cell.path.parent.mkdir(parents=True)
    cell.path.write_text("{", encoding="utf-8")
    with pytest.raises(AttrGraphError, match=r"is damaged .* delete it"):
        load_result(cell)


def test_comparisons_by_hand(quick: StudyGrid):
    rows = [("full", 0, 0.5), ("full", 1, 0.7), ("random", 0, 0.6), ("random", 1, 0.7)]
    cells = pd.DataFrame(rows, columns=["method", "seed", "accuracy"]).assign(data="digits", status="complete")
    (row,) = comparison_table(quick, cells).to_dict("records")
    assert row["difference"] == pytest.approx(0.05)
    assert (row["pairs"], row["verdict"]) == (2, "quick: no claim")


def full_cells(grid: StudyGrid, count: int = 20) -> pd.DataFrame:
    """A row a cell of the small study's whole form: `random` is better by .1, more or less."""
    rows = [(name, seed, 0.5 + 0.1 * (name == "random") + 0.001 * (seed * 7 % 5) * (name == "full"))
            for seed in grid.study.seeds for name in ("full", "random")]  # fmt: skip
    cells = pd.DataFrame(rows[:count], columns=["method", "seed", "accuracy"])
    return cells.assign(data="digits", status="complete")


def test_what_is_not_whole_makes_no_claim(file: Path):
    """Who looks in between could stop where it looks well."""
    grid = StudyGrid(load_study(file))
    assert comparison_table(grid, full_cells(grid))["verdict"][0] == "better"
    assert comparison_table(grid, full_cells(grid, 19))["verdict"][0] == "19 of 20 cells: no claim"
    failed = full_cells(grid)
    failed.loc[failed["method"] == "full", ["status", "accuracy"]] = ["failed", float("nan")]
    assert comparison_table(grid, failed)["verdict"][0] == "0 pairs: no claim, 10 of the reference failed"


def test_data_that_are_left_out_count_in_the_correction(file: Path):
    keys = "    model: {factory: mlp, arguments: {hidden: [12, 8]}}\n"
    file.write_text(
        SMALL_STUDY.replace(keys, keys + "  mnist1d:\n    dataset: {factory: mnist1d}\n" + keys), encoding="utf-8"
    )
    grid = StudyGrid(load_study(file).of_data(["digits"]))
    assert (grid.study.left_out, grid.test_count) == (("mnist1d",), 20)
    (row,) = comparison_table(grid, full_cells(grid)).to_dict("records")
    assert row["corrected_p"] == pytest.approx(2 * row["p"])
    section = section_of(grid, cells_with_all(grid), Path("picture.png"))
    assert "1 data set, 10 seeds (without mnist1d)" in section
    assert "Corrected for 2 comparisons, 1 of them of data that were left out;" in section


def cells_with_all(grid: StudyGrid) -> pd.DataFrame:
    given = full_cells(grid).assign(
        run_id="", error="", settings="{}", config_hash="", code_version="1", wall_seconds=1.0
    )  # fmt: skip
    return given.assign(**{measure.name: 0.0 for measure in grid.question.measures if measure.name != "accuracy"})


def test_a_cell_that_another_process_holds_is_left_to_it(quick: StudyGrid):
    """Two commands side by side: what one holds the other passes by, and waits for at the end."""
    held = quick.trials[0]
    released: list[bool] = []

    def hold() -> None:
        with FileLock(held.path.parent / ".locks" / f"{held.path.stem}.lock"):
            holds.set()
            while len(list(held.path.parent.glob("*.json"))) < 5:  # the three other trials, and tests of one method
                time.sleep(0.02)
            released.append(not held.path.exists())

    (held.path.parent / ".locks").mkdir(parents=True)
    holds = threading.Event()
    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    holds.wait()
    run_studies([quick.study])
    holder.join()
    assert released == [True]
    assert len(cell_table(quick)) == 4
