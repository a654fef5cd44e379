"""Study files: what they say, and what is refused, with its line."""

from pathlib import Path

import pytest

from attrgraph_core.errors import AttrGraphError
from pipelines.study_cells import StudyGrid
from pipelines.study_file import Study, load_studies, load_study
from tests.pipelines.study_files import SMALL_STUDY

STUDIES = Path(__file__).parents[2] / "studies"


def study_of(folder: Path, text: str = SMALL_STUDY) -> Study:
    path = folder / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path)


def test_the_quick_form(tmp_path: Path):
    quick = study_of(tmp_path).as_quick()
    assert (quick.seeds, quick.tuning_seeds, quick.is_quick) == ((0, 1), (1000,), True)
    assert quick.grid_of("random") == {"learning_rate": (0.01, 0.02)}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (", 9]", "]", "1: study: a study has 10 different seeds at least, and this one 9"),
        ("[1000, 1001]", "[9, 1001]", "1: study: seed 9 is for the test and for choosing settings"),
        ("question: efficiency", "question: beauty", "2: question: there is no question 'beauty'; known are "),
        ("reference: full", "reference: thin", "1: study: reference 'thin' is none of the methods full, random"),
        ("quick:", "quick:\n  data: [mnist]", "1: study: the quick form has data 'mnist'; known are digits"),
        ("seeds: [0, 1]", "seed: [0, 1]", "19: quick.seed: unknown key; known here are data, methods, seeds"),
    ],
)  # fmt: skip
def test_errors_have_their_line(tmp_path: Path, before: str, after: str, expected: str):
    assert before in SMALL_STUDY
    with pytest.raises(AttrGraphError) as raised:
        study_of(tmp_path, SMALL_STUDY.replace(before, after))
    assert str(raised.value).startswith(f"{tmp_path / 'small.yaml'}:{expected}")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("target: 0.3", "goal: 0.3", "10: options.goal: unknown key; known here are full_epochs, target"),
        ("[{epochs: 2}]", "[{epochs: 0}]", "15: methods.full.stages.0.epochs: Input should be greater than"),
        ("policy: random, budget: 0.5", "policy: random", "17: methods.random.stages.1.select.budget: this key is req"),
        ("policy: random, budget: 0.5", "policy: random, budget: 0.5, query: path_mass",
         "17: methods.random.stages: it asks query 'path_mass' of 'label'; comparisons and studies keep no graphs"),
        ("{epochs: 3, select: {policy: random, budget: 0.5}}", "{kind: edges, epochs: 3, circuit: {query: top_edges}}",
         "17: methods.random.stages: a stage of kind 'edges' asks query 'top_edges' of a graph in Neo4j;"),
        ("tune: {learning_rate", "tune: {hope: [1], learning_rate", "14: methods.full: question 'efficiency' cannot "),
    ],
)  # fmt: skip
def test_what_only_the_question_knows(tmp_path: Path, before: str, after: str, expected: str):
    assert before in SMALL_STUDY
    study = study_of(tmp_path, SMALL_STUDY.replace(before, after))
    with pytest.raises(AttrGraphError) as raised:
        StudyGrid(study)
    assert str(raised.value).startswith(f"{tmp_path / 'small.yaml'}:{expected}")


def test_two_files_of_one_name(tmp_path: Path):
    study_of(tmp_path)
    (tmp_path / "other.yaml").write_text(SMALL_STUDY, encoding="utf-8")
    with pytest.raises(AttrGraphError, match=r"'small' is taken by .*other.yaml:1"):
        load_studies(sorted(tmp_path.glob("*.yaml"), reverse=True)[::-1])


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_that_come_with_the_project(path: Path):
    study = load_study(path)
    assert study.name == path.stem
    for form in (study, study.as_quick()):
        grid = StudyGrid(form)
        assert grid.test_count == len(form.methods) * len(form.data) * len(form.seeds)
