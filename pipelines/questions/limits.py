"""What is said against back-propagation, measured of it and of its peers: vanishing gradients, touchy rates, waiting.

The learning rate's weight is what is lost, on validation, by rates that are `factor` times too large or too small
(a run that diverges loses all): no test sample is looked at for it.
"""

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field, field_validator

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.limits.depth import gradients_by_depth, growth_per_layer
from attrgraph_core.limits.update_locking import update_locking
from attrgraph_core.study.held_out import HeldOut
from attrgraph_core.targeting.target_neurons import target_neurons
from pipelines.comparison_file import RepeatedStage
from pipelines.keys_file import Section
from pipelines.questions.question import COSTS, Measure, Task, Trained
from pipelines.questions.trained_variant import (
    TUNABLE,
    StagesMethod,
    StagesQuestion,
    accuracy_of,
    experiment_of,
    train_within,
    trained_at,
)
from pipelines.stage_kind import way_of_training

if TYPE_CHECKING:
    from torch import nn

SAMPLES = 256  # that gradients and waiting are looked at on


class Options(Section):
    full_epochs: int = Field(default=14, ge=1)
    factor: float = Field(default=4.0, gt=1)


class Method(StagesMethod):
    @field_validator("stages")
    @classmethod
    def last_stage_chooses_no_neurons(cls, stages: tuple[RepeatedStage, ...]) -> tuple[RepeatedStage, ...]:
        if stages[-1].select is not None:
            raise ValueError("the last stage chooses neurons, and waiting is measured of what trains by its kind alone")
        return stages


class Limits(StagesQuestion):
    name = "limits"
    asks = "Do gradients vanish, does the learning rate decide, do updates wait, and what do peers change of it?"
    measures = (
        Measure("accuracy", "of the test samples, at equal compute", is_tested=True),
        Measure("rate_loss", "mean validation accuracy lost by a rate too small or too large by the factor; what "
                "hardly learns has little to lose", larger_is_better=False, is_tested=True),
        Measure("growth_at_start", "factor by which the gradient's signal grows a layer down, before training"),
        Measure("growth_at_end", "the same after it; below 1 it vanishes"),
        Measure("waits_for", "layers whose forward and backward a layer's update waits for, mean of those that train",
                larger_is_better=False),
        Measure("trained_layers", "share of layers that train in a step of the last stage"),
        *COSTS,
        Measure("epochs", "within the compute"),
    )  # fmt: skip
    settings = TUNABLE
    Options: ClassVar[type[BaseModel]] = Options
    Method: ClassVar[type[BaseModel]] = Method

    def train(self, task: Task) -> Trained:
        inputs, labels = task.data.train_inputs[:SAMPLES], task.data.train_labels[:SAMPLES]
        start = growth_per_layer(gradients_by_depth(task.build_model(), inputs, labels))
        model, epochs = train_within(task, task.data, task.options.full_epochs)
        trained = trained_at(model, epochs[-1])
        end = growth_per_layer(gradients_by_depth(trained.model, inputs, labels))
        loss = _rate_loss(task, epochs[-1].record.accuracy)
        trained.measures.update({"growth_at_start": start, "growth_at_end": end, "rate_loss": loss})
        trained.measures.update(_waiting(task, trained.model))
        return trained

    def measure(self, task: Task, trained: Trained, held_out: HeldOut) -> dict[str, float]:
        return {"accuracy": accuracy_of(trained.model, held_out)}


def _rate_loss(task: Task, accuracy: float) -> float:
    rate = task.settings.get("learning_rate", task.training.learning_rate)
    lost = []
    for other in (rate / task.options.factor, rate * task.options.factor):
        tried = replace(task, settings={**task.settings, "learning_rate": other})
        try:
            lost.append(accuracy - train_within(tried, task.data, task.options.full_epochs)[1][-1].record.accuracy)
        except AttrGraphError:  # it diverged
            lost.append(accuracy)
    return sum(lost) / len(lost)


def _waiting(task: Task, model: "nn.Module") -> dict[str, float]:
    """Of a step as the method's last stage makes it."""
    stage = experiment_of(task).stages[-1]
    way = way_of_training(stage, model, task.data, task.seed, None)
    with ExitStack() as stack:
        if way.neuron_set is not None:
            stack.enter_context(target_neurons(model, way.neuron_set.neurons))
        peer = stack.enter_context(way.make_peer(model))
        peer.begin_epoch(1)
        table = update_locking(model, task.data.train_inputs[:SAMPLES], task.data.train_labels[:SAMPLES], peer)
    return {"waits_for": float(table[table["trains"]]["waits_for"].mean()), "trained_layers": table["trains"].mean()}
