"""How well a network does after an operation, sample by sample, and whether one is really better than another."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attrgraph_core.surgery.failure_edges import scores_of
from attrgraph_core.surgery.samples import Case

Z95 = 1.959964


@dataclass(frozen=True, eq=False)
class Outcome:
    """Which samples are right, (samples,) each, and which bad ones are still taken for the class of before."""

    bad_right: Tensor
    good_right: Tensor
    still_fails: Tensor

    @classmethod
    def of(cls, model: nn.Module, case: Case, before: Tensor) -> "Outcome":
        """Of a network; `before` (bad samples,) are the classes that the faulty network gave."""
        bad, good = (scores_of(model, samples.inputs).argmax(dim=1) for samples in case)
        still = (bad == before) & (before != case.bad.labels)
        return cls(bad == case.bad.labels, good == case.good.labels, still)

    @property
    def bad_accuracy(self) -> float:
        return float(self.bad_right.float().mean())

    @property
    def good_accuracy(self) -> float:
        return float(self.good_right.float().mean())

    @property
    def failure_rate(self) -> float:
        """Share of bad samples that are taken for the wrong class of before: a backdoor's success."""
        return float(self.still_fails.float().mean())

    @property
    def balance(self) -> float:
        """Mean of the accuracies on bad and on good samples: what is chosen and compared by."""
        return (self.bad_accuracy + self.good_accuracy) / 2

    def gain_over(self, other: "Outcome") -> tuple[float, float, float]:
        """How much more balance than another outcome on the same samples, and a 95 % interval of it.

        The interval is Agresti and Min's (2005) of paired proportions: it has a width even where few samples agree.
        """
        pairs = ((self.bad_right, other.bad_right), (self.good_right, other.good_right))
        gain = sum(float(one.double().mean() - two.double().mean()) for one, two in pairs) / 2
        adjusted, variance = map(sum, zip(*(_adjusted_difference(one, two) for one, two in pairs), strict=True))
        middle, error = adjusted / 2, math.sqrt(variance) / 2
        return gain, middle - Z95 * error, middle + Z95 * error


def _adjusted_difference(one: Tensor, two: Tensor) -> tuple[float, float]:
    """The difference of two shares of the same samples and its variance; each of four cells has half a sample more."""
    count = len(one) + 2
    won, lost = (float((part.sum() + 0.5) / count) for part in (one & ~two, two & ~one))
    return won - lost, (won + lost - (won - lost) ** 2) / count


def classes_of(model: nn.Module, case: Case) -> Tensor:
    """The classes that a network gives the bad samples, (samples,)."""
    return torch.as_tensor(scores_of(model, case.bad.inputs).argmax(dim=1))
