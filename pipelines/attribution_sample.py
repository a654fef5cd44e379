"""What an experiment attributes: a fixed part of its training data, and the input that it is relative to."""

from typing import Protocol

import torch

from attrgraph_core.attribution.sample import attribution_sample
from attrgraph_core.training.data import TrainingData
from pipelines.experiments import Attribution


class Attributed(Protocol):
    """What says how it is attributed: an experiment, or one of its runs."""

    @property
    def attribution(self) -> Attribution: ...


def sample_of(experiment: Attributed, data: TrainingData) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of the fixed attribution sample: the same for every seed, stage and epoch."""
    chosen = attribution_sample(data.train_labels.numpy(), experiment.attribution.samples, seed=0)
    return data.train_inputs[chosen], data.train_labels[chosen]


def baseline_of(experiment: Attributed, inputs: torch.Tensor) -> torch.Tensor:
    """The one input, of shape (...), that attributions are relative to."""
    return inputs.mean(dim=0) if experiment.attribution.baseline == "mean" else torch.zeros_like(inputs[0])
