"""`attrgraph study`: checked before any work, run in its quick form, and its page."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from attrgraph_cli.main import app
from attrgraph_core.errors import AttrGraphError
from tests.pipelines.study_files import SMALL_STUDY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path / "runs"))
    (tmp_path / "small.yaml").write_text(SMALL_STUDY, encoding="utf-8")
    return tmp_path


def study(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["study", "small.yaml", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_check_writes_nothing(folder: Path):
    assert "small: 8 trials, 20 test cells" in study("--check")
    assert "small: 4 trials, 4 test cells" in study("--check", "--quick")
    assert [path.name for path in folder.iterdir()] == ["small.yaml"]


def test_a_quick_study_makes_no_claims(folder: Path):
    shown = study("--quick", "--no-record")
    assert "study small: 8 of 8" in shown
    assert "quick: no claims" in shown
    assert "**Quick: no claims.**" in (folder / "runs" / "study_quick.md").read_text(encoding="utf-8")
    assert (folder / "runs" / "pictures" / "study_small.png").is_file()
    assert not (folder / "docs").exists()  # what the whole study said there stays
    assert (folder / "runs" / "study-small" / "report.html").is_file()
    again = study("--quick", "--no-record")  # nothing is trained again
    assert again.count("of 8") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "mnist"], "study 'small' has no data 'mnist'; it has digits"),
        (["--output", "page.html"], r"--output is page.html; it is the path of a \.md file"),
        (["missing.yaml"], "cannot read the study file missing.yaml: No such file or directory"),
    ],
)
def test_what_is_wrong_is_named_before_any_work(folder: Path, arguments: list[str], message: str):
    with pytest.raises(AttrGraphError, match=message):
        study(*arguments)
    assert [path.name for path in folder.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("policy: random", "policy: randm", r"small.yaml:\d+: methods.random: unknown policy 'randm'"),
        ("[0.01, 0.02]", "[0.01, -1]", r"methods.full: training.learning_rate: .* greater than 0, not -1; tuned are"),
        ("{learning_rate: [0.01, 0.02]}", "{budget: [0.5, 2.5]}", r"methods.random: .*budget.* to 1, not 2.5"),
        ("name: small", "name: small\nis_quick: true", "small.yaml:2: is_quick: no key of a file; --quick asks"),
    ],
)
def test_a_setting_that_no_cell_could_take_is_named_before_any_work(folder: Path, old: str, new: str, message: str):
    (folder / "small.yaml").write_text(SMALL_STUDY.replace(old, new), encoding="utf-8")
    with pytest.raises(AttrGraphError, match=message):
        study("--check")


def test_data_that_the_network_cannot_take(folder: Path):
    text = SMALL_STUDY.replace("{factory: mlp, arguments: {hidden: [12, 8]}}", "{factory: small_cnn}")
    (folder / "small.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(AttrGraphError, match=r"small.yaml:6: data.digits: small_cnn takes images"):
        study("--quick")
