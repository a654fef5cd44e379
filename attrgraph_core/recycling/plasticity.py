"""Figures of whether a network is still able to learn, by layer: dead neurons, effective rank, size of weights.

The effective rank is the exponential of the entropy of the singular values of a layer's activations, each divided by
their sum (Roy & Vetterli, 2007): how many directions its neurons use, from 1 to their number.
"""

import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.recycling.hidden_layer import HiddenLayer, hidden_layers


def plasticity(model: nn.Module, inputs: Tensor) -> pd.DataFrame:
    """A row a hidden layer: layer, dead_share, effective_rank, rank_share, weight_size, over `inputs` (samples, ...).

    A neuron is dead that is 0 where the next layer reads it, for all samples and positions. `rank_share` is the
    effective rank over the number of neurons, `weight_size` the mean absolute weight into the layer.
    """
    layers, _ = hidden_layers(model, inputs)
    seen: dict[str, Tensor] = {}

    def keep(layer: HiddenLayer, module: nn.Module, values: Tensor) -> None:
        rows = values.reshape(-1, values.shape[-1]) if isinstance(module, nn.Linear) else values.flatten(2).mean(dim=2)
        seen[layer.name] = _of_neurons(rows.detach(), layer)

    handles = [
        layer.readers[0].module.register_forward_pre_hook(
            lambda module, given, layer=layer: keep(layer, module, given[0])
        )
        for layer in layers
    ]
    try:
        with evaluation_mode(model), torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    rows = [_figures(layer, seen[layer.name]) for layer in layers]
    return pd.DataFrame(rows, columns=["layer", "dead_share", "effective_rank", "rank_share", "weight_size"])


def _figures(layer: HiddenLayer, activations: Tensor) -> tuple[str, float, float, float, float]:
    rank = effective_rank(activations)
    weight = layer.module.weight
    assert isinstance(weight, Tensor)
    dead = (activations == 0).all(dim=0).float().mean()
    return layer.name, float(dead), rank, rank / layer.width, float(weight.detach().abs().mean())


def effective_rank(activations: Tensor) -> float:
    """Of activations (samples, neurons); 0 where all are 0."""
    values = torch.linalg.svdvals(activations.double())
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values[values > 0] / total
    return float(torch.exp(-(shares * shares.log()).sum()))


def _of_neurons(rows: Tensor, layer: HiddenLayer) -> Tensor:
    columns = layer.readers[0].columns.to(rows.device)
    known = columns >= 0
    return rows.new_zeros(len(rows), layer.width).index_add_(1, columns[known], rows[:, known])
