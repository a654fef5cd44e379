"""Where runs are kept, and files that are whole or not there."""

from pathlib import Path

import pytest

from pipelines.experiments import load_experiment
from pipelines.run_folder import record_path, run_folder, runs_root, write_atomically


def test_runs_lie_in_the_working_directory_or_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATTRGRAPH_RUNS", raising=False)
    assert runs_root() == tmp_path / "runs"
    monkeypatch.setenv("ATTRGRAPH_RUNS", "elsewhere")
    assert run_folder("a-run") == tmp_path / "elsewhere" / "a-run"


def test_records_of_runs_that_differ_lie_apart(small_experiment: Path):
    experiment = load_experiment(small_experiment)
    path = record_path(experiment, 1, "dataset")
    assert path == small_experiment.parents[1] / "runs" / f"small-seed-1-{experiment.config_hash}" / "dataset.json"
    assert record_path(experiment, 0, "dataset").parent != path.parent


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path):
    path = tmp_path / "folder" / "record.json"
    write_atomically(path, "a long first text")
    write_atomically(path, "größer")
    assert path.read_bytes() == "größer".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_text_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "record.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_as_readable_as_others(tmp_path: Path):
    (tmp_path / "other").write_text("")
    write_atomically(tmp_path / "record.json", "text")
    assert (tmp_path / "record.json").stat().st_mode == (tmp_path / "other").stat().st_mode
