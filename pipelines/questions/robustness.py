"""Accuracy under attack and corruption, at one clean accuracy: a network that fits less is misled less easily.

Every method trains until its validation accuracy first reaches `target`, and is measured there; one that never does is
a failed cell.
"""

from typing import ClassVar

from pydantic import BaseModel, Field, field_validator

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.optional import check_installed
from attrgraph_core.robustness.attack import FGSM, PGD
from attrgraph_core.robustness.corruptions import corruptions_of
from attrgraph_core.robustness.ensemble import EXTRA, Ensemble
from attrgraph_core.robustness.robust_accuracy import corrupted_accuracy, robust_accuracy, value_range
from attrgraph_core.study.held_out import HeldOut
from pipelines.keys_file import Section
from pipelines.questions.question import COSTS, Measure, Task, Trained
from pipelines.questions.trained_variant import (
    TUNABLE,
    StagesQuestion,
    accuracy_of,
    first_reaching,
    train_epochs,
    trained_at,
)


class Options(Section):
    """`epsilon` is the largest change of an input's element; `ensemble` adds the stronger attack (extra robustness)."""

    target: float = Field(default=0.93, gt=0, le=1)
    epsilon: float = Field(default=0.1, gt=0)
    ensemble: bool = False

    @field_validator("ensemble")
    @classmethod
    def _can_be_had(cls, asked: bool) -> bool:
        if asked:
            try:
                check_installed("art", EXTRA)
            except AttrGraphError as error:
                raise ValueError(str(error)) from error
        return asked


class Robustness(StagesQuestion):
    name = "robustness"
    asks = "At like clean accuracy, is a network that trained chosen neurons harder to mislead?"
    measures = (
        Measure("pgd", "accuracy under PGD (20 steps, 2 starts)", is_tested=True),
        Measure("fgsm", "accuracy under FGSM", is_tested=True),
        Measure("corrupted", "mean accuracy over corruptions and their five severities", is_tested=True),
        Measure("ensemble", "accuracy under an ensemble of attacks after AutoAttack, where it is asked for"),
        Measure("accuracy", "clean"),
        *COSTS,
        Measure("epochs", "until the target accuracy", larger_is_better=False),
    )
    settings = TUNABLE
    Options: ClassVar[type[BaseModel]] = Options

    def train(self, task: Task) -> Trained:
        target = task.options.target
        model, epochs = train_epochs(task, is_done=lambda epoch: epoch.record.accuracy >= target)
        reached = first_reaching(epochs, target)
        if reached is None:
            best = max(epoch.record.accuracy for epoch in epochs)
            raise AttrGraphError(f"validation accuracy came to {best:.3f}, and not to {target} within all its epochs")
        return trained_at(model, reached)

    def measure(self, task: Task, trained: Trained, held_out: HeldOut) -> dict[str, float]:
        epsilon, samples = task.options.epsilon, (trained.model, *held_out)
        attacks = {"fgsm": FGSM, "pgd": PGD} | ({"ensemble": Ensemble()} if task.options.ensemble else {})
        limits = value_range(task.data)
        low, high = min(limits[0], float(held_out.inputs.min())), max(limits[1], float(held_out.inputs.max()))
        found = {
            name: float(
                robust_accuracy(*samples, [epsilon], attack=attack, value_range=(low, high))["accuracy"].iloc[0]
            )
            for name, attack in attacks.items()
        }
        corrupted = corrupted_accuracy(*samples, corruptions_of(held_out.inputs))["accuracy"].mean()
        clean = accuracy_of(trained.model, held_out)
        return {"ensemble": float("nan"), **found, "corrupted": float(corrupted), "accuracy": clean}
