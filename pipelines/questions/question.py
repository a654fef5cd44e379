"""What a question of a study is: how a method is trained, and what is measured of it on samples it has not seen.

Training is given no test samples, measuring is given held-out ones: those of validation while settings are chosen, and
those of the test, once, after the choice. The engine (`pipelines.study_cells`) sees to it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ValidationError

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.import_path import load_object
from attrgraph_core.study.held_out import HeldOut
from attrgraph_core.training.data import TrainingData
from attrgraph_core.training.models import build_model
from pipelines.experiments import ExperimentKeys, Factory, Training
from pipelines.keys_file import described
from pipelines.questions import QUESTIONS
from pipelines.study_file import Study

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Measure:
    """A figure. One that `is_tested` is compared between methods, and corrected for with all that are."""

    name: str
    meaning: str
    larger_is_better: bool = True
    is_tested: bool = False


COSTS = (
    Measure("gflops", "10^9 FLOPs of training, scoring included", larger_is_better=False),
    Measure("scoring_share", "share of FLOPs that went into choosing neurons", larger_is_better=False),
    Measure("seconds", "of training, scoring included", larger_is_better=False),
)


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained in one cell: `data` has the validation samples where a test set would be."""

    data: TrainingData
    model: Factory
    training: Training
    options: Any
    method: Any
    settings: Mapping[str, Any]
    seed: int

    def build_model(self) -> "nn.Module":
        """The network with the seed's first weights."""
        return build_model(self.model.factory, self.model.arguments, self.data, self.seed)


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of training: the network, what it cost and otherwise showed, and what only its question knows of."""

    model: "nn.Module"
    measures: dict[str, float] = field(default_factory=dict)
    about: Any = None


class Question(ABC):
    """One question; subclasses are final. `version` goes up when its figures change their meaning.

    The first tested measure is what settings are chosen by, on validation. `Options` are the keys of `options` in the
    study file, `Method` those of each method, where `tune` may stand, too; `settings` names what can be tuned.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    asks: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]
    settings: ClassVar[tuple[str, ...]] = ("learning_rate",)
    Options: ClassVar[type[BaseModel]]
    Method: ClassVar[type[BaseModel]]

    @abstractmethod
    def train(self, task: Task) -> Trained:
        """Train one method. Raises AttrGraphError where it cannot, which is kept as a failed cell."""

    @abstractmethod
    def measure(self, task: Task, trained: Trained, held_out: HeldOut) -> dict[str, float]:
        """Figures on samples that were not trained on; with those of `trained` all of `measures`."""

    def check(self, task: Task) -> None:
        """Raises AttrGraphError for a method that its settings make impossible, before anything is trained.

        Nothing is asked by default.
        """
        return

    @property
    def tested(self) -> list[Measure]:
        return [measure for measure in self.measures if measure.is_tested]

    @property
    def chosen_by(self) -> Measure:
        return self.tested[0]

    def options_of(self, study: Study) -> Any:
        """The study's options, checked. Raises AttrGraphError with the file's line."""
        return self._checked(study, self.Options, study.options, "options")

    def method_of(self, study: Study, name: str) -> Any:
        """A method's keys, checked. Raises AttrGraphError with the file's line."""
        given = {key: value for key, value in study.methods[name].items() if key != "tune"}
        found = self._checked(study, self.Method, given, "methods", name)
        unknown = [key for key in study.grid_of(name) if key not in self.settings]
        if unknown:
            raise AttrGraphError(
                f"{study.where('methods', name)}: question {self.name!r} cannot tune {unknown[0]!r}; it can tune "
                f"{', '.join(self.settings) or 'nothing'}"
            )
        return found

    def _checked(self, study: Study, keys: type[BaseModel], given: Any, *within: str) -> BaseModel:
        try:
            return keys.model_validate(given)
        except ValidationError as error:
            raise AttrGraphError(described(error, study.where, keys, ExperimentKeys.sections, *within)) from error


def question_of(name: str) -> Question:
    """The question of this name, or of an import path `package.module:Class`."""
    found: Question = load_object(QUESTIONS.get(name, name))()
    return found
