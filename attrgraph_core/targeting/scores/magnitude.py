"""How large the incoming weights of a neuron are."""

import pandas as pd
from torch import nn

from attrgraph_core.targeting.scores.layer_outputs import table_of
from attrgraph_core.targeting.target_neurons import targetable_layers


def magnitude(model: nn.Module) -> pd.DataFrame:
    """A row a neuron: layer, index, magnitude, the L2 norm of its incoming weights and bias."""
    found = {}
    for name, layer in targetable_layers(model).items():
        squares = layer.weight.detach().cpu().double().reshape(len(layer.weight), -1).square().sum(dim=1)
        if layer.bias is not None:
            squares = squares + layer.bias.detach().cpu().double().square()
        found[name] = squares.sqrt()
    return table_of("magnitude", found)
