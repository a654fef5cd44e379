"""Short fine-tuning, after an operation or in its place."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.samples import Samples
from attrgraph_core.surgery.weight_entries import WeightEntries

RATES = (3e-4, 1e-3, 3e-3)
BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class FineTuning:
    """`steps` of Adam at a learning rate; `pull` is the weight of L2-SP's penalty (Li et al., 2018), half the squared
    distance to the weights it began from, or with `importance`, by which each square is weighed, of EWC's (see
    `weight_importance`); `only` are the parameters that train, all without; `removed` stay zero."""

    learning_rate: float
    steps: int
    pull: float = 0.0
    only: frozenset[str] | None = None
    removed: WeightEntries | None = None
    importance: Mapping[str, Tensor] | None = None

    def run(self, model: nn.Module, samples: Samples, seed: int = 0) -> None:
        """Train `model` in place on `samples`, in evaluation mode: neither dropout nor running statistics.

        Frozen parameters stay as they are; modes are left as before. Raises AttrGraphError where nothing trains.
        """
        wanted = {name: p for name, p in model.named_parameters() if self.only is None or name in self.only}
        own = {name: parameter for name, parameter in wanted.items() if parameter.requires_grad}
        if not own:
            raise AttrGraphError("no parameter that fine-tuning may change requires a gradient; unfreeze one")
        with evaluation_mode(model), torch.enable_grad():
            self._take_steps(model, own, samples, seed)

    def _take_steps(self, model: nn.Module, own: Mapping[str, nn.Parameter], samples: Samples, seed: int) -> None:
        anchors = {name: parameter.detach().clone() for name, parameter in own.items()}
        optimizer = torch.optim.Adam(own.values(), lr=self.learning_rate)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(self.steps):
            rows = torch.randint(len(samples.labels), (BATCH_SIZE,), generator=generator)
            loss = functional.cross_entropy(model(samples.inputs[rows]), samples.labels[rows])
            if self.pull:
                loss = loss + self.pull / 2 * self._distance(own, anchors)
            gradients = torch.autograd.grad(loss, list(own.values()), materialize_grads=True, allow_unused=True)
            for parameter, gradient in zip(own.values(), gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
            self._keep_removed(own)
        for parameter in own.values():
            parameter.grad = None

    def _keep_removed(self, own: Mapping[str, nn.Parameter]) -> None:
        if self.removed is None:
            return
        with torch.no_grad():
            for name in self.removed.positions.keys() & own.keys():
                own[name][self.removed.indices(name, own[name])] = 0.0

    def _distance(self, own: Mapping[str, nn.Parameter], anchors: Mapping[str, Tensor]) -> Tensor:
        squares = {name: (parameter - anchors[name]).square() for name, parameter in own.items()}
        if self.importance is not None:
            squares = {name: self.importance[name] * square for name, square in squares.items()}
        return torch.stack([square.sum() for square in squares.values()]).sum()
