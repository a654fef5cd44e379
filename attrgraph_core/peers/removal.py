"""Training without some weights: they are removed when the stage begins, and stay zero."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from attrgraph_core.peers.peer import Peer
from attrgraph_core.surgery.ablate import ablate
from attrgraph_core.surgery.weight_entries import WeightEntries


class Removal(Peer):
    """Removes `entries` with mean compensation over `inputs` (samples, ...), and trains the rest.

    What was removed is written to `path`, from which `WeightChange.load(path).undo(model)` puts it back on weights that
    were not trained since. Raises as `ablate`.
    """

    def __init__(self, model: nn.Module, entries: WeightEntries, inputs: Tensor, path: Path | None = None) -> None:
        super().__init__(model)
        self.entries, self.inputs, self.path = entries, inputs, path

    def __enter__(self) -> "Removal":
        device = next(self.model.parameters()).device
        change = ablate(self.model, self.entries, self.inputs.to(device))
        if self.path is not None:
            change.save(self.path)
        return self

    @torch.no_grad()
    def after_step(self, optimizer: Optimizer) -> None:
        for name, parameter in self.model.named_parameters():
            if name in self.entries.positions:
                parameter[self.entries.indices(name, parameter)] = 0.0
