"""What is explained: a logit, a combination of logits, or the loss. Never a softmax output: its gradients vanish."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from attrgraph_core.attribution.checks import label_tensor, tensor_of
from attrgraph_core.attribution.rescale import rescale
from attrgraph_core.errors import AttrGraphError


class Target(ABC):
    """A score of each sample. `name` is what graphs call it."""

    name: str

    @abstractmethod
    def score(self, logits: Tensor) -> Tensor:
        """Scores (samples,) of `logits` (samples, classes)."""

    @abstractmethod
    def rescaled(self, logits: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Scores whose derivative is DeepLIFT's multiplier relative to the logits `reference`, and its scores."""

    @abstractmethod
    def rows(self, repeats: int) -> "Target":
        """The target of samples that are `repeats` rows each."""

    @abstractmethod
    def part(self, samples: slice | Tensor) -> "Target":
        """The target of some of the samples."""

    @abstractmethod
    def to(self, device: torch.device) -> "Target":
        """The target with its tensors on a device; copies, as no tensor of inference mode takes part in gradients."""

    @abstractmethod
    def check(self, sample_count: int, width: int) -> None:
        """Raise AttrGraphError where it does not fit so many samples or classes."""


@dataclass(frozen=True, eq=False)
class Logits(Target):
    """One logit a sample: `labels` (samples,)."""

    labels: Tensor
    name: str = "label"

    def score(self, logits: Tensor) -> Tensor:
        return logits.gather(1, self.labels.unsqueeze(1)).squeeze(1)

    def rescaled(self, logits: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        return self.score(logits), self.score(reference.expand_as(logits))

    def rows(self, repeats: int) -> "Logits":
        return Logits(self.labels.repeat_interleave(repeats), self.name)

    def part(self, samples: slice | Tensor) -> "Logits":
        return Logits(self.labels[samples], self.name)

    def to(self, device: torch.device) -> "Logits":
        return Logits(self.labels.to(device, copy=True), self.name)

    def check(self, sample_count: int, width: int) -> None:
        _check_labels(self.labels, sample_count, width)


@dataclass(frozen=True, eq=False)
class Combination(Target):
    """A weighted sum of logits a sample, such as wrong minus right: `weights` (samples, classes)."""

    weights: Tensor
    name: str = "combination"

    def score(self, logits: Tensor) -> Tensor:
        return (logits * self.weights.to(logits)).sum(dim=1)

    def rescaled(self, logits: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        return self.score(logits), self.score(reference.expand_as(logits))

    def rows(self, repeats: int) -> "Combination":
        return Combination(self.weights.repeat_interleave(repeats, dim=0), self.name)

    def part(self, samples: slice | Tensor) -> "Combination":
        return Combination(self.weights[samples], self.name)

    def to(self, device: torch.device) -> "Combination":
        return Combination(self.weights.to(device, copy=True), self.name)

    def check(self, sample_count: int, width: int) -> None:
        if self.weights.shape != (sample_count, width):
            raise AttrGraphError(
                f"the target's weights have shape {tuple(self.weights.shape)}; a weight a sample and class has "
                f"({sample_count}, {width})"
            )
        if not bool(torch.isfinite(self.weights).all()):
            raise AttrGraphError("the target's weights are not finite")


@dataclass(frozen=True, eq=False)
class Loss(Target):
    """The cross entropy of a sample's `labels` (samples,): what is attributed raises the loss where it is positive.

    DeepLIFT passes `log Σ exp` by the rescale rule of `exp` and then of `log`, so that it stays complete.
    """

    labels: Tensor
    name: str = "loss"

    def score(self, logits: Tensor) -> Tensor:
        return functional.cross_entropy(logits, self.labels, reduction="none")

    def rescaled(self, logits: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        reference = reference.expand_as(logits)
        largest = torch.maximum(logits.detach(), reference).max(dim=1, keepdim=True).values
        shifted, shifted_reference = logits - largest, reference - largest
        total = rescale(torch.exp, shifted, shifted_reference).sum(dim=1)
        logarithm = rescale(torch.log, total, shifted_reference.exp().sum(dim=1))
        right = logits.gather(1, self.labels.unsqueeze(1)).squeeze(1)
        return logarithm + largest.squeeze(1) - right, self.score(reference)

    def rows(self, repeats: int) -> "Loss":
        return Loss(self.labels.repeat_interleave(repeats), self.name)

    def part(self, samples: slice | Tensor) -> "Loss":
        return Loss(self.labels[samples], self.name)

    def to(self, device: torch.device) -> "Loss":
        return Loss(self.labels.to(device, copy=True), self.name)

    def check(self, sample_count: int, width: int) -> None:
        _check_labels(self.labels, sample_count, width)


def make_target(target: Any, labels: Any, sample_count: int) -> Target:
    """The target that `attribute` was asked for: a class, labels (samples,), weights (samples, classes), or `loss`."""
    if isinstance(target, np.ndarray | np.generic | list | tuple):
        target = tensor_of("the target", target)
    if isinstance(target, Tensor):
        if target.dim():
            return Combination(target) if target.dim() == 2 else Logits(label_tensor(target))
        target = int(label_tensor(target))
    if isinstance(target, bool) or not isinstance(target, int | str):
        raise AttrGraphError(f"the target {target!r} is no class, no tensor of labels or of weights, and not 'loss'")
    if isinstance(target, int):
        return Logits(torch.full((sample_count,), target), f"class:{target}")
    if target not in ("loss", "label"):
        raise AttrGraphError(f"unknown target {target!r}; it is a class, a tensor of labels or weights, or 'loss'")
    if labels is None:
        raise AttrGraphError(
            f"target {target!r} needs the samples' labels: attribute(..., target={target!r}, labels=...)"
        )
    numbers = label_tensor(labels)
    return Loss(numbers) if target == "loss" else Logits(numbers)


def _check_labels(labels: Tensor, sample_count: int, width: int) -> None:
    if labels.device.type == "meta":
        raise AttrGraphError("the labels are on the device meta, which holds no values")
    if labels.dim() != 1 or len(labels) != sample_count:
        raise AttrGraphError(f"{sample_count} inputs need as many labels, not a tensor of shape {tuple(labels.shape)}")
    outside = labels[(labels < 0) | (labels >= width)]
    if len(outside):
        raise AttrGraphError(f"target {int(outside[0])} is outside the network's {width} outputs (0 to {width - 1})")
