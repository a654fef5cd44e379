"""Direct random target projection (Frenkel, Lefebvre and Bol, Frontiers in Neuroscience 2021).

Hidden layer k learns as soon as it has been computed, from a fixed random projection of the one-hot target instead of
an error from above: `∂a_k := y* B_k`, `∂z_k = ∂a_k ⊙ f'(z_k)`, `∂W_k = ∂z_kᵀ a_{k-1}`. The output layer has the true
gradient. There is no backward pass between layers, so that a step takes two thirds of a dense one. B_k is drawn once,
uniformly as Kaiming initialisation draws (the authors' code), and is the same in every stage of a seed. The paper's
hidden units are tanh; ReLU units work less well under fixed signals.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.peer import Peer
from attrgraph_core.targeting.target_neurons import targetable_layers
from attrgraph_core.training.reproducibility import derive_seed, seeded

PROJECTION = 3  # of the seeds derived from a run's, apart from those of weights and stages


class DirectRandomTargetProjection(Peer):
    """Trains an `nn.Sequential` by fixed projections of the labels; `class_count` classes.

    Raises AttrGraphError for other networks: what follows a layer must be known to run it apart.
    """

    def __init__(self, model: nn.Module, class_count: int, seed: int) -> None:
        super().__init__(model)
        if type(model) is not nn.Sequential:
            raise AttrGraphError(f"DRTP trains an nn.Sequential, layer by layer, and not a {type(model).__name__}")
        layers = set(targetable_layers(model).values())
        self.blocks: list[list[nn.Module]] = [[]]
        for module in model:
            if module in layers and any(other in layers for other in self.blocks[-1]):
                self.blocks.append([])
            if any(inner in layers for inner in module.modules() if inner is not module):
                raise AttrGraphError(
                    "DRTP needs all layers with neurons in the nn.Sequential itself, none inside others"
                )
            self.blocks[-1].append(module)
        self.class_count, self.seed = class_count, seed
        self._projections: dict[int, Tensor] = {}

    def projection(self, block: int, features: int) -> Tensor:
        """B of a block, (classes, features), on the CPU, made when it is first needed."""
        if block not in self._projections:
            with seeded(derive_seed(self.seed, PROJECTION, block)):
                self._projections[block] = nn.init.kaiming_uniform_(torch.empty(self.class_count, features))
        return self._projections[block]

    def loss(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy of the scores, and a scalar with DRTP's gradients: `Σ_k <a_k, y* B_k> / n` + cross entropy."""
        values, local = inputs, inputs.new_zeros(())
        for number, block in enumerate(self.blocks):
            values = values.detach()
            for module in block:
                values = module(values)
            if number < len(self.blocks) - 1:
                flat = values.flatten(1)
                projected = self.projection(number, flat.shape[1]).to(flat)[labels]
                local = local + (flat * projected).sum() / len(labels)
        found = functional.cross_entropy(values, labels)
        return found, found + local
