"""Some layers, drawn anew each epoch, and the output layer: after LISA (Pan et al., NeurIPS 2024).

The paper draws every K steps among a transformer's blocks, and always trains embedding and head; here K is an epoch,
the blocks are the layers with neurons, and always trained are the output layer and embeddings. Backward ends below the
lowest layer that trains, by autograd itself; what was not drawn has no gradient, and no optimizer moves it.
"""

from types import TracebackType

import numpy as np
from torch import nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.peer import Peer
from attrgraph_core.targeting.target_neurons import targetable_layers


class RandomLayers(Peer):
    """Each epoch `layer_count` of the hidden layers train, all equally likely; `drawn` are those of this epoch.

    `always` names the layers that train in every epoch; parameters of layers without neurons (normalisation) stand
    still. Raises AttrGraphError for a count that is not from 1 to the number of hidden layers.
    """

    def __init__(self, model: nn.Module, layer_count: int, always: tuple[str, ...], seed: int) -> None:
        super().__init__(model)
        self.always = always
        self.hidden = [name for name in targetable_layers(model) if name not in always]
        if not 1 <= layer_count <= len(self.hidden):
            raise AttrGraphError(f"layers is {layer_count}; the network has {len(self.hidden)} hidden layers to draw")
        self.layer_count, self.seed = layer_count, seed
        self.drawn: tuple[str, ...] = ()
        self._required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]

    def begin_epoch(self, epoch: int) -> None:
        generator = np.random.default_rng([self.seed, epoch])
        places = sorted(generator.choice(len(self.hidden), self.layer_count, replace=False).tolist())
        self.drawn = tuple(self.hidden[place] for place in places)
        embeddings = [name for name, module in self.model.named_modules() if isinstance(module, nn.Embedding)]
        trained = {
            id(parameter)
            for name in (*self.drawn, *self.always, *embeddings)
            for parameter in self.model.get_submodule(name).parameters(recurse=False)
        }
        for parameter, required in self._required:
            parameter.grad = None
            parameter.requires_grad_(required and id(parameter) in trained)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for parameter, required in self._required:
            parameter.requires_grad_(required)
