"""What questions share that train a network by the stages of a study's method."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import BaseModel, Field, ValidationError, field_validator
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.study.held_out import HeldOut
from attrgraph_core.surgery.failure_edges import scores_of
from attrgraph_core.targeting.policies import load_policy
from attrgraph_core.training.counted_flops import counted_flops
from attrgraph_core.training.data import TrainingData
from attrgraph_core.training.models import build_model
from attrgraph_core.training.reproducibility import seeded
from attrgraph_core.training.stage import TrainingSettings
from pipelines.comparison_file import RepeatedStage, check_needs_no_store
from pipelines.experiments import Attribution, Experiment, Factory, Stage, check_stages
from pipelines.keys_file import Section
from pipelines.questions.question import Question, Task, Trained
from pipelines.stage_kind import model_arguments
from pipelines.variant_training import VariantEpoch, train_variant

if TYPE_CHECKING:
    from torch import nn

TUNABLE = ("learning_rate", "budget", "share", "weight_decay")


class StagesMethod(Section):
    """A way of training: the stages of a comparison's variant, and keys of `training` that it has otherwise."""

    stages: tuple[RepeatedStage, ...] = Field(min_length=1, strict=False)
    training: dict[str, Any] = Field(default_factory=dict)

    @field_validator("stages")
    @classmethod
    def stages_follow_each_other(cls, stages: tuple[RepeatedStage, ...]) -> tuple[RepeatedStage, ...]:
        check_stages(stages)
        check_needs_no_store(stages)
        return stages


class StagesQuestion(Question):
    """A question whose methods train by stages."""

    Method: ClassVar[type[BaseModel]] = StagesMethod

    def check(self, task: Task) -> None:
        """Raises AttrGraphError for a policy that is not known, and for settings that are out of range."""
        try:
            experiment = experiment_of(task)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            tuned = ", ".join(f"{name} {value}" for name, value in task.settings.items())
            raise AttrGraphError(
                f"{key}: {first['msg']}, not {first['input']!r}{f'; tuned are {tuned}' if tuned else ''}"
            ) from error
        for stage in experiment.stages:
            if stage.select is not None:
                load_policy(stage.select.policy)


def experiment_of(task: Task, stages: tuple[Stage, ...] | None = None) -> Experiment:
    """The experiment of a cell: its method's stages (or those given), with the settings that are tried or chosen.

    `learning_rate` and `weight_decay` are the training's; `budget` is that of every selection, `share` of every stage
    that has one.
    """
    method: StagesMethod = task.method
    settings = dict(task.settings)
    training = {**task.training.model_dump(), **method.training}
    training |= {name: settings[name] for name in ("learning_rate", "weight_decay") if name in settings}
    found = stages or tuple(stage for repeated in method.stages for stage in repeated.as_stages)
    return Experiment.model_validate(
        {
            "name": "cell", "dataset": Factory(factory=task.data.name), "model": task.model, "training": training,
            "attribution": Attribution(baseline="mean", samples=min(256, len(task.data.train_labels))),
            "stages": tuple(_with_settings(stage, settings) for stage in found),
        }
    )  # fmt: skip


def _with_settings(stage: Stage, settings: dict[str, Any]) -> Stage:
    given = {name: getattr(stage, name) for name in stage.model_fields_set}
    if "budget" in settings and stage.select is not None:
        select = stage.select
        given["select"] = {name: getattr(select, name) for name in select.model_fields_set} | {
            "budget": settings["budget"]
        }
    if "share" in settings and stage.share is not None:
        given["share"] = settings["share"]
    return Stage.model_validate(given)


def built_model(task: Task, experiment: Experiment, data: TrainingData) -> "nn.Module":
    """The network of an experiment, a thin one where its first stage says so."""
    return build_model(task.model.factory, model_arguments(experiment, data), data, task.seed)


def train_epochs(
    task: Task, data: TrainingData | None = None, is_done: Callable[[VariantEpoch], bool] = lambda _: False
) -> "tuple[nn.Module, list[VariantEpoch]]":
    """Train by the method's stages, on the task's data or others; all epochs, and the network at the last one's end."""
    experiment = experiment_of(task)
    own = data or task.data
    model = built_model(task, experiment, own)
    return model, list(train_variant(experiment, model, own, task.seed, is_done=is_done))


def train_within(task: Task, data: TrainingData, full_epochs: int) -> "tuple[nn.Module, list[VariantEpoch]]":
    """Train on `data` for at most the compute of some epochs of full training; the epochs from 1 within that.

    Raises AttrGraphError where the first epoch takes more.
    """
    budget = full_epochs * dense_epoch_flops(task, data)
    model, epochs = train_epochs(task, data, is_done=lambda epoch: epoch.flops + epoch.record.flops > budget)
    within = [epoch for epoch in epochs if 0 < epoch.flops <= budget]
    if not within:
        raise AttrGraphError(f"the first epoch takes more than the {budget / 1e9:.3f} GFLOPs that there are")
    return model, within


def trained_at(model: "nn.Module", epoch: VariantEpoch, about: object = None) -> Trained:
    """The network of an epoch, with its costs."""
    model.load_state_dict(epoch.state)
    return Trained(model.eval(), costs_of(epoch), about)


def costs_of(epoch: VariantEpoch) -> dict[str, float]:
    """The figures `COSTS`, and how many epochs they were."""
    share = epoch.scoring_flops / epoch.flops if epoch.flops else 0.0
    return {"gflops": epoch.flops / 1e9, "scoring_share": share, "seconds": epoch.seconds, "epochs": epoch.epoch}


def dense_epoch_flops(task: Task, data: TrainingData) -> int:
    """The FLOPs of one epoch of full training of the task's network, as `train_stage` counts them."""
    model = task.build_model().train()
    rows = torch.arange(min(task.training.batch_size, len(data.train_labels)))
    with counted_flops() as counted, seeded(0):
        functional.cross_entropy(model(data.train_inputs[rows]), data.train_labels[rows]).backward()
    return round(counted.flops * len(data.train_labels) / len(rows))


def accuracy_of(model: "nn.Module", held_out: HeldOut) -> float:
    """Share of right classes, in evaluation mode."""
    classes = scores_of(model, held_out.inputs).argmax(dim=1)
    return float((classes == held_out.labels).float().mean())


def first_reaching(epochs: list[VariantEpoch], accuracy: float) -> VariantEpoch | None:
    """The first epoch whose validation accuracy is at least `accuracy`, or None."""
    return next((epoch for epoch in epochs if epoch.record.accuracy >= accuracy), None)


def settings_of_task(task: Task, epochs: int) -> TrainingSettings:
    """Full training for some epochs by the task's settings. Raises AttrGraphError for values outside their range."""
    training = task.training.model_dump() | {
        name: task.settings[name] for name in ("learning_rate", "weight_decay") if name in task.settings
    }
    return TrainingSettings(epochs=epochs, **training)
