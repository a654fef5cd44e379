"""Adversarial attacks by the gradient: FGSM and PGD, within a ball around each input and the range of the data.

FGSM (Goodfellow et al., 2015) is one step of the whole radius, along the gradient's sign, or along the gradient where
the ball is Euclidean. PGD (Madry et al., 2018) takes many small ones, each followed by a projection into the ball, from
random places within it. Both raise the cross entropy of the right label, and know the network.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.reproducibility import derive_seed

NORMS = ("linf", "l2")
BATCH_SIZE = 512
STRIDE = 2.5  # of a PGD step: epsilon times this over the number of steps reaches the border from anywhere
TINY = 1e-12

Range = tuple[float, float]


@dataclass(frozen=True)
class Attack:
    """`steps` of 0 is FGSM; PGD goes `restarts` times through `steps` from places drawn by `seed`.

    `norm` is `linf`, the largest change of an element, or `l2`, the length of the change of a whole input.
    Raises AttrGraphError naming a value outside its range.
    """

    norm: str = "linf"
    steps: int = 0
    restarts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise AttrGraphError(f"unknown norm {self.norm!r}; known are {', '.join(NORMS)}")
        for name, value, least in (("steps", self.steps, 0), ("restarts", self.restarts, 1), ("seed", self.seed, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise AttrGraphError(f"{name} is {value!r}, not a whole number from {least} on")

    def on(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, epsilon: float, value_range: Range | None = None
    ) -> Tensor:
        """The inputs (samples, ...), changed by at most `epsilon`, and within `value_range` (lowest, highest).

        An input that misleads the network anywhere on the way is given as it is there; one that never does, as it was
        where its loss was highest; one that is wrong from the start is left as it is. The network is in evaluation
        mode and left as before, and so is PyTorch's random state.
        Raises AttrGraphError for a negative epsilon, a range that inputs are outside of, and labels of another number.
        """
        _check(inputs, labels, epsilon, value_range)
        low, high = value_range or (-math.inf, math.inf)
        found = inputs.clone()
        with evaluation_mode(model), torch.enable_grad():
            for number, rows in enumerate(torch.arange(len(inputs)).split(BATCH_SIZE)):
                one = _Batch(model, inputs[rows], labels[rows], self.norm, epsilon, low, high)
                generator = torch.Generator().manual_seed(derive_seed(self.seed, number))
                found[rows] = self._attack(one, generator)
        return found

    def _attack(self, batch: "_Batch", generator: torch.Generator) -> Tensor:
        if self.steps == 0:
            batch.step_from(batch.clean, batch.epsilon)
            return batch.worst
        for _ in range(self.restarts):
            at = batch.random_place(generator)
            for _ in range(self.steps):
                at = batch.step_from(at, STRIDE * batch.epsilon / self.steps)
        return batch.worst


FGSM = Attack()
PGD = Attack(steps=20, restarts=2)


class _Batch:
    """Some inputs, and the worst that was found for each."""

    def __init__(
        self, model: nn.Module, clean: Tensor, labels: Tensor, norm: str, epsilon: float, low: float, high: float
    ) -> None:
        self.model, self.clean, self.labels = model, clean, labels
        self.norm, self.epsilon, self.low, self.high = norm, epsilon, low, high
        self.worst = clean.clone()
        self.loss = torch.full((len(clean),), -math.inf, device=clean.device)
        self.is_wrong = torch.zeros(len(clean), dtype=torch.bool, device=clean.device)
        self._look_at(clean)

    def step_from(self, at: Tensor, length: float) -> Tensor:
        """The next place, after a step of `length` up the loss; seen before it is given."""
        place = at.detach().requires_grad_()
        loss = functional.cross_entropy(self.model(place), self.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, place)
        direction = gradient.sign() if self.norm == "linf" else gradient / _lengths(gradient).clamp_min(TINY)
        reached = self._inside(at.detach() + length * direction)
        self._look_at(reached)
        return reached

    def random_place(self, generator: torch.Generator) -> Tensor:
        """Uniformly within the ball, then within the range."""
        if self.norm == "linf":
            change = torch.rand(self.clean.shape, generator=generator) * 2 - 1
        else:
            change = torch.randn(self.clean.shape, generator=generator)
            share = torch.rand(len(change), generator=generator) ** (1 / self.clean[0].numel())
            change *= share.reshape(-1, *[1] * (change.dim() - 1)) / _lengths(change)
        return self._inside(self.clean + self.epsilon * change.to(self.clean))

    def _inside(self, place: Tensor) -> Tensor:
        return within(place, self.clean, self.norm, self.epsilon, self.low, self.high)

    def _look_at(self, place: Tensor) -> None:
        """Keep what misleads, first of all, and else what has the higher loss."""
        with torch.no_grad():
            scores = self.model(place)
            loss = functional.cross_entropy(scores, self.labels, reduction="none")
            misleads = scores.argmax(dim=1) != self.labels
        better = ~self.is_wrong & (misleads | (loss > self.loss))
        self.worst[better] = place[better]
        self.loss[better] = loss[better]
        self.is_wrong |= misleads


def within(place: Tensor, clean: Tensor, norm: str, epsilon: float, low: float, high: float) -> Tensor:
    """The nearest place in the ball of `epsilon` around each clean input, and of it in the range."""
    change = place - clean
    if norm == "linf":
        change = change.clamp(-epsilon, epsilon)
    else:
        change = change * (epsilon / _lengths(change).clamp_min(TINY)).clamp_max(1.0)
    # The range is convex and holds the clean input, so that this leads out of no ball.
    return (clean + change).clamp(low, high)


def _lengths(change: Tensor) -> Tensor:
    """The Euclidean length of each sample, (samples, 1, ...)."""
    return change.flatten(1).norm(dim=1).reshape(-1, *[1] * (change.dim() - 1))


def _check(inputs: Tensor, labels: Tensor, epsilon: float, value_range: Range | None) -> None:
    if len(inputs) != len(labels) or not len(inputs):
        raise AttrGraphError(f"{len(inputs)} inputs have {len(labels)} labels; give one each, and one at least")
    if not 0 <= epsilon < math.inf:
        raise AttrGraphError(f"epsilon is {epsilon!r}, not a number from 0 on")
    if value_range is not None and not value_range[0] <= float(inputs.min()) <= float(inputs.max()) <= value_range[1]:
        raise AttrGraphError(
            f"inputs go from {float(inputs.min()):g} to {float(inputs.max()):g}, outside of the range "
            f"{value_range[0]:g} to {value_range[1]:g}"
        )
