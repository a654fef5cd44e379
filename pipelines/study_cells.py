"""The cells of a study: one training each, kept in a file each, so that what was interrupted goes on where it was.

A cell of part `validation` is a trial of one setting, of part `test` the one look at the test samples, with the setting
that validation chose. Its file is named after data, method, part, seed and a hash of everything else that it depends
on; it is written whole or not at all. A cell that failed is kept like any other.
"""

import hashlib
import json
import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.study.choice import Choice, candidates_of, choose_settings
from attrgraph_core.study.held_out import study_data
from attrgraph_core.training.data import TrainingData, load_data
from attrgraph_core.training.models import build_model
from pipelines.code_version import code_version
from pipelines.questions.question import Question, Task, question_of
from pipelines.run_folder import runs_root, write_atomically
from pipelines.study_file import Study

if TYPE_CHECKING:
    from pipelines.questions.question import Trained

VALIDATION, TEST = "validation", "test"
COMPLETE, FAILED = "complete", "failed"


@dataclass(frozen=True)
class Cell:
    """One training of the grid, and the part of the data that it is measured on."""

    study: str
    data: str
    method: str
    part: str
    seed: int
    settings: tuple[tuple[str, Any], ...]
    config_hash: str

    @property
    def run_id(self) -> str:
        """Of its run in the store: the same but for the seed for all seeds of one configuration."""
        part = "" if self.part == TEST else f"-{VALIDATION}"
        return f"study_{self.study}-{self.data}-{self.method}{part}-seed-{self.seed}-{self.config_hash}"

    @property
    def path(self) -> Path:
        return study_folder(self.study) / "cells" / f"{self.run_id}.json"

    @property
    def graph_path(self) -> Path:
        """Of the network's attribution graph, where the study keeps them."""
        return self.path.with_suffix(".graph.parquet")


@dataclass(frozen=True)
class CellResult:
    """What a cell gave. `measures` is empty where it failed; `error` then says why."""

    run_id: str
    data: str
    method: str
    part: str
    seed: int
    settings: dict[str, Any]
    config_hash: str
    status: str
    error: str
    measures: dict[str, float]
    wall_seconds: float
    started_at: str
    code_version: str
    fingerprint: str

    def save(self, path: Path) -> None:
        """Write JSON, in which a figure that is not finite is null."""
        given = asdict(self)
        given["measures"] = {name: value if math.isfinite(value) else None for name, value in self.measures.items()}
        write_atomically(path, json.dumps(given, indent=1, allow_nan=False))


def load_result(cell: Cell) -> CellResult | None:
    """What a cell gave, or None where it has not run. Raises AttrGraphError for a damaged file."""
    try:
        given = json.loads(cell.path.read_text(encoding="utf-8"))
        given["measures"] = {name: math.nan if value is None else value for name, value in given["measures"].items()}
        return CellResult(**given)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise AttrGraphError(f"{cell.path} is damaged ({error}); delete it, and the cell runs again") from error


def study_folder(name: str) -> Path:
    """Where a study's cells and its report in HTML are kept."""
    return runs_root() / f"study-{name}"


class StudyGrid:
    """A study with its question: its cells, in the order in which they run."""

    def __init__(self, study: Study) -> None:
        """Raises AttrGraphError, with the file's line, for what the question does not know."""
        self.study = study
        try:
            self.question: Question = question_of(study.question)
        except AttrGraphError as error:
            raise AttrGraphError(f"{study.where('question')}: {error}") from error
        self.options = self.question.options_of(study)
        self.methods = {name: self.question.method_of(study, name) for name in study.methods}
        self._data: dict[str, TrainingData] = {}
        self._choices: dict[tuple[str, str], Choice] = {}

    @cached_property
    def trials(self) -> list[Cell]:
        """All trials on validation; seeds outside, so that what is cut short has all methods. None without a choice."""
        return [
            self._cell(data, method, VALIDATION, seed, settings)
            for seed in self.study.tuning_seeds
            for data in self.study.data
            for method in self.study.methods
            for settings in self._candidates(method)
        ]

    def tests(self) -> list[Cell]:
        """The cells on the test samples whose settings are chosen by now."""
        return [
            self.test_cell(data, method, seed)
            for seed in self.study.seeds
            for data in self.study.data
            for method in self.study.methods
            if self.is_chosen(data, method)
        ]

    @property
    def test_count(self) -> int:
        return len(self.study.seeds) * len(self.study.data) * len(self.study.methods)

    def test_cell(self, data: str, method: str, seed: int) -> Cell:
        """With the chosen settings, or with none where every trial failed. Asks for finished trials."""
        try:
            settings = self.choice(data, method).settings
        except AttrGraphError:
            settings = {}
        return self._cell(data, method, TEST, seed, settings)

    def trials_of(self, data: str, method: str) -> list[Cell]:
        return self._trials_by.get((data, method), [])

    @cached_property
    def _trials_by(self) -> dict[tuple[str, str], list[Cell]]:
        found: dict[tuple[str, str], list[Cell]] = {}
        for trial in self.trials:
            found.setdefault((trial.data, trial.method), []).append(trial)
        return found

    def is_chosen(self, data: str, method: str) -> bool:
        known = (data, method) in self._choices
        return known or all(trial.path.exists() for trial in self.trials_of(data, method))

    def choice(self, data: str, method: str) -> Choice:
        """By the trials' files. Raises AttrGraphError where no setting came through all of them."""
        if (data, method) not in self._choices:
            self._choices[data, method] = self._choose(data, method)
        return self._choices[data, method]

    def forget_choices(self) -> None:
        """After trials' files were deleted."""
        self._choices.clear()

    def _choose(self, data: str, method: str) -> Choice:
        measure = self.question.chosen_by
        if not (candidates := self._candidates(method)):
            return Choice(dict(self._only_setting(method)), ())
        scores, errors = [], []
        for settings in candidates:
            own = [trial for trial in self.trials_of(data, method) if dict(trial.settings) == settings]
            found = [load_result(trial) for trial in own]
            scores.append(
                (settings, [result.measures.get(measure.name) if result is not None else None for result in found])
            )
            errors += [result.error for result in found if result is not None and result.error]
        try:
            return choose_settings(scores, measure.larger_is_better)
        except AttrGraphError as error:
            raise AttrGraphError(
                f"{error}; the first that failed: {errors[0] if errors else 'a figure is NaN'}"
            ) from None

    def check(self) -> None:
        """Make every data set and its network once, and ask the question of every setting of each method.

        Raises AttrGraphError with the file's line.
        """
        for name, keys in self.study.data.items():
            try:
                build_model(keys.model.factory, keys.model.arguments, study_data(self.load(name)).working, 0)
            except AttrGraphError as error:
                raise AttrGraphError(f"{self.study.where('data', name)}: {error}") from error
        for name in self.methods:
            self._check_settings(name)

    def _check_settings(self, method: str) -> None:
        data = next(iter(self.study.data))
        for settings in candidates_of(self.study.grid_of(method)):
            cell = self._cell(data, method, VALIDATION, 0, settings)
            try:
                self.question.check(self.task(cell, self.load(data)))
            except AttrGraphError as error:
                raise AttrGraphError(f"{self.study.where('methods', method)}: {error}") from error

    def load(self, name: str) -> TrainingData:
        """A data set of the study, read once."""
        if name not in self._data:
            keys = self.study.data[name].dataset
            self._data[name] = load_data(keys.factory, keys.arguments)
        return self._data[name]

    def task(self, cell: Cell, data: TrainingData) -> Task:
        return Task(
            data, self.study.data[cell.data].model, self.study.training, self.options, self.methods[cell.method],
            dict(cell.settings), cell.seed,
        )  # fmt: skip

    def _candidates(self, method: str) -> list[dict[str, Any]]:
        """The settings to try; none where there is nothing to choose."""
        found = candidates_of(self.study.grid_of(method))
        return found if len(found) > 1 else []

    def _only_setting(self, method: str) -> Mapping[str, Any]:
        return candidates_of(self.study.grid_of(method))[0]

    def _cell(self, data: str, method: str, part: str, seed: int, settings: dict[str, Any]) -> Cell:
        own = {key: value for key, value in self.study.methods[method].items() if key != "tune"}
        depends_on = {
            "question": self.study.question, "version": self.question.version,
            "data": self.study.data[data].model_dump(mode="json"), "training": self.study.training.model_dump(),
            "options": self.options.model_dump(mode="json"), "method": own, "settings": settings,
            "graphs": self.study.graphs,
        }  # fmt: skip
        found = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:12]
        return Cell(self.study.name, data, method, part, seed, tuple(settings.items()), found)


def run_cell(grid: StudyGrid, cell: Cell) -> CellResult:
    """Train, measure once, and keep what came out, also where it failed."""
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    result = CellResult(
        cell.run_id, cell.data, cell.method, cell.part, cell.seed, dict(cell.settings), cell.config_hash, FAILED, "",
        {}, 0.0, started, code_version(), "",
    )  # fmt: skip
    try:
        data = grid.load(cell.data)
        measures = _measured(grid, cell, data)
        result = replace(result, status=COMPLETE, measures=measures, fingerprint=data.fingerprint)
    except AttrGraphError as error:
        result = replace(result, error=str(error))
    except Exception as error:  # a defect of a method is a failed cell, too: the others go on
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        result = replace(result, error=f"{type(error).__name__}: {error} ({where})")
    result = replace(result, wall_seconds=time.perf_counter() - clock)
    result.save(cell.path)
    return result


def _measured(grid: StudyGrid, cell: Cell, data: TrainingData) -> dict[str, float]:
    """The figures of a cell. Test samples are opened after training, with settings that validation chose."""
    if cell.part == TEST and dict(cell.settings) != grid.choice(cell.data, cell.method).settings:
        raise AttrGraphError("these settings are not those that validation chose")
    parts = study_data(data)
    task = grid.task(cell, parts.working)
    trained = grid.question.train(task)
    held_out = parts.validation if cell.part == VALIDATION else parts.test.open()
    measures = {**trained.measures, **grid.question.measure(task, trained, held_out)}
    missing = [measure.name for measure in grid.question.measures if measure.name not in measures]
    if missing:
        raise AttrGraphError(f"question {grid.question.name!r} gave no {missing[0]!r}")
    if cell.part == TEST and grid.study.graphs:
        _keep_graph(cell, task, trained)
    return {name: float(value) for name, value in measures.items()}


def _keep_graph(cell: Cell, task: Task, trained: "Trained") -> None:
    """The attribution graph of the network, of the true classes of validation samples, as a file for the store."""
    from attrgraph_core.attribution.attribute import attribute
    from attrgraph_core.graph.sparsify import EdgeLimits
    from attrgraph_core.interchange.parquet import write_parquet

    inputs, labels = task.data.test_inputs[:256], task.data.test_labels[:256]
    graph = attribute(trained.model.eval(), inputs, labels, method="deeplift", baseline="mean", keep=EdgeLimits())
    cell.graph_path.parent.mkdir(parents=True, exist_ok=True)
    part = cell.graph_path.with_suffix(".part")
    write_parquet(graph, part)
    part.replace(cell.graph_path)
