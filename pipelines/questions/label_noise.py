"""How a way of training does where some training labels are wrong.

Validation labels are right, as a small set that somebody looked through would be: every method has its learning rate
from them. Compute is equal, as in `efficiency`; `early_stopping` is the control that stops where validation is best.
"""

from typing import ClassVar

import torch
from pydantic import BaseModel, Field

from attrgraph_core.faults.label_noise import label_noise, noisy_rows
from attrgraph_core.study.held_out import HeldOut
from attrgraph_core.surgery.failure_edges import scores_of
from pipelines.keys_file import Section
from pipelines.questions.question import COSTS, Measure, Task, Trained
from pipelines.questions.trained_variant import (
    TUNABLE,
    StagesMethod,
    StagesQuestion,
    accuracy_of,
    train_within,
    trained_at,
)


class Options(Section):
    noise: float = Field(default=0.4, gt=0, lt=1)  # share of each class's labels that are wrong
    full_epochs: int = Field(default=20, ge=1)


class Method(StagesMethod):
    early_stopping: bool = False


class LabelNoise(StagesQuestion):
    name = "label_noise"
    asks = "Does training chosen neurons resist wrong labels better than training less?"
    measures = (
        Measure("accuracy", "of the test samples, whose labels are right", is_tested=True),
        Measure("noise_fitted", "share of wrong training labels that are learnt", larger_is_better=False),
        *COSTS,
        Measure("epochs", "within the compute"),
    )
    settings = TUNABLE
    Options: ClassVar[type[BaseModel]] = Options
    Method: ClassVar[type[BaseModel]] = Method

    def train(self, task: Task) -> Trained:
        noisy = label_noise(task.data, task.options.noise, seed=task.seed)
        model, epochs = train_within(task, noisy, task.options.full_epochs)
        last = max(epochs, key=lambda epoch: epoch.record.accuracy) if task.method.early_stopping else epochs[-1]
        trained = trained_at(model, last)
        rows = noisy_rows(task.data, task.options.noise, seed=task.seed)
        classes = scores_of(trained.model, task.data.train_inputs[rows]).argmax(dim=1)
        trained.measures["noise_fitted"] = float((classes == torch.as_tensor(noisy.train_labels[rows])).float().mean())
        return trained

    def measure(self, task: Task, trained: Trained, held_out: HeldOut) -> dict[str, float]:
        return {"accuracy": accuracy_of(trained.model, held_out)}
