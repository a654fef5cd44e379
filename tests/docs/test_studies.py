"""The page on studies holds: its question runs, its files and commands are those that are there."""

import re
from pathlib import Path

import pytest

from pipelines.questions import QUESTIONS
from pipelines.study_cells import COMPLETE, StudyGrid, load_result
from pipelines.study_file import load_study
from pipelines.study_run import run_studies
from tests.pipelines.study_files import SMALL_STUDY

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


def test_a_question_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (code,) = re.findall(r"^```python\n# my_question.py\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "my_question.py").write_text(code, encoding="utf-8")
    text = SMALL_STUDY.replace("question: efficiency", "question: my_question:Confidence")
    (tmp_path / "small.yaml").write_text(re.sub(r"^options:.*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path / "runs"))
    study = load_study(tmp_path / "small.yaml").as_quick()
    run_studies([study])
    results = [load_result(cell) for cell in StudyGrid(study).tests()]
    assert [result.status for result in results] == [COMPLETE] * 4
    assert all(0.1 <= result.measures["confidence"] <= 1 for result in results)


def test_every_question_and_study_is_named():
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE, re.MULTILINE))
    assert rows.keys() == QUESTIONS.keys()
    named = {name for files in rows.values() for name in re.findall(r"`(\w+)`", files)}
    assert named == {path.stem for path in (ROOT / "studies").glob("*.yaml")}
