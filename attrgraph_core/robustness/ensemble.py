"""An ensemble of attacks after AutoAttack (Croce and Hein, 2020), of the Adversarial Robustness Toolbox (IBM, MIT).

One after the other, each on the inputs that the ones before did not mislead: our PGD; auto-PGD on cross entropy;
auto-PGD on the difference of logits' ratio, which needs three classes; and Square, which reads no gradient and so sees
through networks whose gradients are masked, for images in `linf` (its `l2` form divides by zero on small images). The
FAB attack of the paper is not among them.
"""

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode, seeded
from attrgraph_core.optional import optional_module
from attrgraph_core.robustness.attack import BATCH_SIZE, Attack, Range, within

EXTRA = "robustness"


@dataclass(frozen=True)
class Ensemble:
    """`steps` of each attack by the gradient, `queries` of Square; `norm` is `linf` or `l2`, as in `Attack`."""

    norm: str = "linf"
    steps: int = 50
    restarts: int = 2
    queries: int = 500
    seed: int = 0

    def on(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, epsilon: float, value_range: Range | None = None
    ) -> Tensor:
        """As `Attack.on`; the range is the inputs' own where none is given.

        Raises AttrGraphError where the toolbox is not installed (extra `robustness`), and as `Attack.on`.
        """
        found = Attack(self.norm, self.steps, self.restarts, self.seed).on(model, inputs, labels, epsilon, value_range)
        if not epsilon:
            return found
        low, high = value_range or (float(inputs.min()), float(inputs.max()))
        with evaluation_mode(model), seeded(self.seed), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy 2, about the toolbox's arrays
            copied = copy.deepcopy(model).requires_grad_(False)  # the toolbox leaves gradients behind
            for attack in self._attacks(copied, inputs, labels, epsilon, (low, high)):
                left = _right(copied, found, labels).nonzero().squeeze(1)
                if len(left):
                    changed = attack.generate(inputs[left].cpu().numpy(), labels[left].cpu().numpy())
                    place = torch.from_numpy(changed).to(inputs)
                    candidate = within(place, inputs[left], self.norm, epsilon, low, high)
                    misled = ~_right(copied, candidate, labels[left])
                    found[left[misled]] = candidate[misled]
        return found

    def _attacks(self, model: nn.Module, inputs: Tensor, labels: Tensor, epsilon: float, clip: Range) -> Iterator[Any]:
        evasion = optional_module("art.attacks.evasion", EXTRA)
        classification = optional_module("art.estimators.classification", EXTRA)
        with torch.no_grad():
            class_count = model(inputs[:1]).shape[1]
        estimator = classification.PyTorchClassifier(
            model, nn.CrossEntropyLoss(), tuple(inputs.shape[1:]), class_count, clip_values=clip,
            device_type="gpu" if inputs.is_cuda else "cpu",
        )  # fmt: skip
        norm = np.inf if self.norm == "linf" else 2
        losses = ["cross_entropy", *(["difference_logits_ratio"] if class_count > 2 else [])]
        for loss in losses:
            yield evasion.AutoProjectedGradientDescent(
                estimator, norm=norm, eps=epsilon, eps_step=2 * epsilon, max_iter=self.steps,
                nb_random_init=self.restarts, batch_size=BATCH_SIZE, loss_type=loss, verbose=False,
            )  # fmt: skip
        if inputs.dim() == 4 and self.norm == "linf":
            yield evasion.SquareAttack(
                estimator, norm=norm, eps=epsilon, max_iter=self.queries, nb_restarts=1, batch_size=BATCH_SIZE,
                verbose=False,
            )  # fmt: skip


def _right(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        scores = torch.cat([model(batch) for batch in inputs.split(BATCH_SIZE)])
    return scores.argmax(dim=1) == labels
