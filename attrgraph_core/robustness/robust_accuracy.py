"""Accuracy under attack and on inputs that came out badly, and the epochs at which methods are alike without.

A network that fits less is less easily misled, so that methods are compared at epochs of one clean accuracy.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.robustness.attack import BATCH_SIZE, PGD, Range
from attrgraph_core.training.data import TrainingData


class Attacks(Protocol):
    """`Attack`, or `Ensemble`."""

    def on(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, epsilon: float, value_range: Range | None = None
    ) -> Tensor: ...


def value_range(data: TrainingData) -> Range:
    """The lowest and the highest value of all inputs: what an attack stays within."""
    both = (data.train_inputs, data.test_inputs)
    return min(float(inputs.min()) for inputs in both), max(float(inputs.max()) for inputs in both)


def robust_accuracy(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    epsilons: Sequence[float],
    *,
    attack: Attacks = PGD,
    value_range: Range | None = None,
) -> pd.DataFrame:
    """A row an epsilon: epsilon, accuracy, the share of inputs that are right and that the attack leaves right.

    An epsilon of 0 gives clean accuracy. Raises AttrGraphError as `Attack.on`.
    """
    rows = []
    for epsilon in epsilons:
        changed = attack.on(model, inputs, labels, epsilon, value_range) if epsilon else inputs
        rows.append((epsilon, accuracy(model, changed, labels)))
    return pd.DataFrame(rows, columns=["epsilon", "accuracy"])


def corrupted_accuracy(
    model: nn.Module, inputs: Tensor, labels: Tensor, corruptions: Mapping[str, Callable[[Tensor, int], Tensor]]
) -> pd.DataFrame:
    """A row a corruption and severity (1 to 5): corruption, severity, accuracy. Corruptions are of `CORRUPTIONS`."""
    rows = [
        (name, severity, accuracy(model, corrupt(inputs, severity), labels))
        for name, corrupt in corruptions.items()
        for severity in range(1, 6)
    ]
    return pd.DataFrame(rows, columns=["corruption", "severity", "accuracy"])


def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """In [0, 1], in evaluation mode."""
    with evaluation_mode(model), torch.no_grad():
        right = [
            model(batch).argmax(dim=1) == own
            for batch, own in zip(inputs.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True)
        ]
    return float(torch.cat(right).float().mean())


def matched_epochs(accuracies: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """For each method, by its clean accuracies epoch by epoch from 0, the epoch at which it is like the others.

    The accuracy that is matched is the lowest of the methods' best ones; of the epochs nearest to it the first.
    Raises AttrGraphError where a method has no epoch.
    """
    empty = [name for name, curve in accuracies.items() if not len(curve)]
    if empty or not accuracies:
        raise AttrGraphError(f"there is no epoch of {empty[0]!r} to match" if empty else "there is no method to match")
    reached = min(max(curve) for curve in accuracies.values())
    return {name: nearest_epoch(curve, reached) for name, curve in accuracies.items()}


def nearest_epoch(accuracies: Sequence[float], wanted: float) -> int:
    """The first epoch, from 0, whose accuracy is nearest to the wanted one."""
    return int(np.abs(np.asarray(accuracies, dtype=float) - wanted).argmin())
