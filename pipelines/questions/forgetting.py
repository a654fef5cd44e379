"""How much of earlier tasks a network forgets while it learns later ones, by what it trains of itself.

A stage a task: the inputs' elements are permuted anew, the labels stay. The first task is trained by the method's
`first` stage, each later one by its `then` stage, whose neurons are chosen by the samples of the task before. Replay
adds a share of earlier tasks' training samples, and is the control that needs to keep them.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from attrgraph_core.recycling.streams import permuted
from attrgraph_core.study.held_out import HeldOut
from attrgraph_core.training.data import TrainingData, with_samples
from attrgraph_core.training.reproducibility import derive_seed
from pipelines.comparison_file import check_needs_no_store
from pipelines.experiments import Stage, check_stages
from pipelines.keys_file import Section
from pipelines.questions.question import COSTS, Measure, Question, Task, Trained
from pipelines.questions.trained_variant import TUNABLE, accuracy_of, built_model, costs_of, experiment_of
from pipelines.variant_training import VariantEpoch, train_variant

TASK_ORDER = 6  # of the seeds derived from a cell's


class Options(Section):
    tasks: int = Field(default=5, ge=2)


class Method(Section):
    first: Stage
    then: Stage
    replay: float = Field(default=0.0, ge=0, le=1)  # share of every earlier task's samples
    training: dict[str, float | int | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def stages_follow_each_other(self) -> "Method":
        check_stages((self.first, self.then))
        check_needs_no_store((self.first, self.then))
        return self


class Forgetting(Question):
    name = "forgetting"
    asks = "Does training the neurons that earlier tasks need least keep what was learnt?"
    measures = (
        Measure("accuracy", "mean over all tasks, after the last", is_tested=True),
        Measure("forgetting", "mean loss of accuracy of earlier tasks since they were learnt", larger_is_better=False,
                is_tested=True),
        Measure("learnt", "mean accuracy of each task when it was learnt"),
        *COSTS,
    )  # fmt: skip
    settings = TUNABLE
    Options: ClassVar[type[BaseModel]] = Options
    Method: ClassVar[type[BaseModel]] = Method

    def train(self, task: Task) -> Trained:
        method: Method = task.method
        orders = _orders(task)
        experiment = experiment_of(task, (method.first, *[method.then] * (task.options.tasks - 1)))
        model = built_model(task, experiment, task.data)
        epochs = list(train_variant(experiment, model, _data_of(task, orders), task.seed))
        ends = {epoch.stage: epoch for epoch in epochs}
        model.load_state_dict(epochs[-1].state)
        costs = {name: value for name, value in costs_of(epochs[-1]).items() if name != "epochs"}
        return Trained(model.eval(), costs, (orders, [ends[stage] for stage in sorted(ends)]))

    def measure(self, task: Task, trained: Trained, held_out: HeldOut) -> dict[str, float]:
        orders, ends = trained.about
        learnt = [self._accuracy(trained, end, order, held_out) for order, end in zip(orders, ends, strict=True)]
        last = [self._accuracy(trained, ends[-1], order, held_out) for order in orders]
        lost = [before - now for before, now in zip(learnt[:-1], last[:-1], strict=True)]
        return {
            "accuracy": sum(last) / len(last), "forgetting": sum(lost) / len(lost), "learnt": sum(learnt) / len(learnt)
        }  # fmt: skip

    def _accuracy(self, trained: Trained, end: VariantEpoch, order: Tensor, held_out: HeldOut) -> float:
        trained.model.load_state_dict(end.state)
        return accuracy_of(trained.model, HeldOut(permuted(held_out.inputs, order), held_out.labels))


def _orders(task: Task) -> list[Tensor]:
    """The order of the input's elements in each task; the first is as it was."""
    elements = task.data.train_inputs[0].numel()
    generator = torch.Generator().manual_seed(derive_seed(task.seed, TASK_ORDER))
    later = [torch.randperm(elements, generator=generator) for _ in range(task.options.tasks - 1)]
    return [torch.arange(elements), *later]


def _data_of(task: Task, orders: list[Tensor]) -> Callable[[int], TrainingData]:
    """The data of each stage, from 1, with the samples that are replayed."""
    data, kept = task.data, round(task.method.replay * len(task.data.train_labels))
    rows = torch.randperm(len(data.train_labels), generator=torch.Generator().manual_seed(task.seed))[:kept]

    def of_stage(stage: int) -> TrainingData:
        earlier = [permuted(data.train_inputs[rows], order) for order in orders[: stage - 1]] if kept else []
        inputs = torch.cat([permuted(data.train_inputs, orders[stage - 1]), *earlier])
        labels = torch.cat([data.train_labels, *[data.train_labels[rows]] * len(earlier)])
        test = (permuted(data.test_inputs, orders[stage - 1]), data.test_labels)
        return with_samples(data, train=(inputs, labels), test=test)

    return of_stage
