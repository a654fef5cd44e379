"""What training one neuron costs, by layer: its weights, the FLOPs of their gradient, the bytes they need in training.

FLOPs are those that a neuron adds to a step: two for each weight and position. The forward pass and the gradients that
lead down to the neuron are shared, and belong to none.
"""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.targeting.target_neurons import Layer, targetable_layers

KEPT_TENSORS = 4  # of a trained weight: its copy as a leaf, its gradient, and the two moments of Adam


def neuron_costs(model: nn.Module, inputs: Tensor) -> pd.DataFrame:
    """A row a neuron of every linear layer and convolution: layer, index, weights, flops (a sample), bytes.

    `weights` are the neuron's incoming ones and its bias; `inputs` (one or more samples) tell how many positions a
    layer has. A layer that the network does not call has no FLOPs.
    """
    layers = targetable_layers(model)
    positions = _positions(model, layers, inputs[:1])
    tables = []
    for name, layer in layers.items():
        fan_in = layer.weight[0].numel()
        weights = fan_in + (layer.bias is not None)
        tables.append(
            pd.DataFrame(
                {
                    "layer": name,
                    "index": range(len(layer.weight)),
                    "weights": weights,
                    "flops": 2 * fan_in * positions[name],
                    "bytes": KEPT_TENSORS * weights * layer.weight.element_size(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def multiplications(model: nn.Module, inputs: Tensor) -> dict[str, int]:
    """By layer, how many multiplications its forward pass takes for one sample."""
    layers = targetable_layers(model)
    positions = _positions(model, layers, inputs[:1])
    return {name: layer.weight.numel() * positions[name] for name, layer in layers.items()}


def _positions(model: nn.Module, layers: Mapping[str, Layer], inputs: Tensor) -> dict[str, int]:
    found = dict.fromkeys(layers, 0)
    hooks = []
    for name, layer in layers.items():

        def count(
            module: nn.Module, arguments: object, output: Tensor, name: str = name, width: int = len(layer.weight)
        ) -> None:
            found[name] += output.numel() // width

        hooks.append(layer.register_forward_hook(count))
    try:
        with evaluation_mode(model), torch.no_grad():
            model(inputs.to(next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return found
