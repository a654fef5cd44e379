"""What accuracy a way of training gives for its compute, and for its time.

Every method spends at most what full training spends in `full_epochs`, scoring included, and is read after the last
epoch within that: no epoch is chosen by its accuracy.
"""

import math
from typing import ClassVar

from pydantic import BaseModel, Field

from attrgraph_core.study.held_out import HeldOut
from pipelines.keys_file import Section
from pipelines.questions.question import COSTS, Measure, Task, Trained
from pipelines.questions.trained_variant import (
    TUNABLE,
    StagesQuestion,
    accuracy_of,
    first_reaching,
    train_within,
    trained_at,
)


class Options(Section):
    full_epochs: int = Field(default=14, ge=1)  # the budget, in epochs of full training
    target: float = Field(default=0.9, gt=0, le=1)  # validation accuracy to be reached


class Efficiency(StagesQuestion):
    name = "efficiency"
    asks = "Does training chosen neurons give more accuracy for the same compute, or the same accuracy sooner?"
    measures = (
        Measure("accuracy", "of the test samples, at equal compute", is_tested=True),
        *COSTS,
        Measure("epochs", "within the compute"),
        Measure(
            "gflops_to_target",
            "10^9 FLOPs until validation reaches the target, of seeds that do",
            larger_is_better=False,
        ),
        Measure("seconds_to_target", "seconds until then, of these seeds", larger_is_better=False),
    )
    settings = TUNABLE
    Options: ClassVar[type[BaseModel]] = Options

    def train(self, task: Task) -> Trained:
        model, epochs = train_within(task, task.data, task.options.full_epochs)
        trained = trained_at(model, epochs[-1])
        reached = first_reaching(epochs, task.options.target)
        trained.measures["gflops_to_target"] = reached.flops / 1e9 if reached else math.nan
        trained.measures["seconds_to_target"] = reached.seconds if reached else math.nan
        return trained

    def measure(self, task: Task, trained: Trained, held_out: HeldOut) -> dict[str, float]:
        return {"accuracy": accuracy_of(trained.model, held_out)}
