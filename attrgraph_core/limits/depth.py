"""Gradients by depth: whether they vanish or explode on their way down (Glorot and Bengio, 2010)."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.target_neurons import targetable_layers
from attrgraph_core.training.gradient_norms import gradient_norms


def gradients_by_depth(model: nn.Module, inputs: Tensor, labels: Tensor) -> pd.DataFrame:
    """A row a layer, the one next to the input first: depth (from 1), layer, signal_norm, gradient_norm, relative.

    `signal_norm` is the L2 norm of the gradient of the mean cross entropy by the layer's outputs, of all samples: what
    came down as far as there. `gradient_norm` is that by its weights and bias, `relative` the same over the norm of
    these. Depth is the order in which the network has its layers. Leaves no trace.
    Raises AttrGraphError for a network without layers, and where one is not called.
    """
    by_neuron = gradient_norms(model, inputs, labels)
    squares = by_neuron["gradient_norm"].pow(2).groupby(by_neuron["layer"], sort=False).sum()
    signals = _signal_norms(model, inputs, labels)
    rows = []
    for depth, (name, layer) in enumerate(targetable_layers(model).items(), start=1):
        parts = [part.detach().double() for part in (layer.weight, layer.bias) if part is not None]
        size = float(sum(part.square().sum() for part in parts)) ** 0.5
        norm = float(squares[name]) ** 0.5
        rows.append((depth, name, signals[name], norm, norm / size if size else np.nan))
    return pd.DataFrame(rows, columns=["depth", "layer", "signal_norm", "gradient_norm", "relative"])


def growth_per_layer(table: pd.DataFrame) -> float:
    """By what factor the signal grows from a layer to the next one down, by a line through the logarithms.

    Below 1 it vanishes towards the input, above 1 it explodes. `table` is of `gradients_by_depth`.
    Raises AttrGraphError for fewer than two layers with a gradient.
    """
    reached = table[table["signal_norm"] > 0]
    if len(reached) < 2:
        raise AttrGraphError(f"{len(reached)} layers have a gradient; growth per layer is seen from 2 on")
    slope = np.polyfit(reached["depth"].to_numpy(float), np.log(reached["signal_norm"].to_numpy(float)), 1)[0]
    return float(np.exp(-slope))


def _signal_norms(model: nn.Module, inputs: Tensor, labels: Tensor) -> dict[str, float]:
    outputs: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_hook(lambda module, given, output, name=name: outputs.update({name: output}))
        for name, layer in targetable_layers(model).items()
    ]
    try:
        with evaluation_mode(model), torch.enable_grad():
            # Inputs require gradients, so that layers whose weights are frozen have some, too.
            loss = functional.cross_entropy(model(inputs.detach().requires_grad_(inputs.is_floating_point())), labels)
    finally:
        for handle in handles:
            handle.remove()
    uncalled = [name for name in targetable_layers(model) if name not in outputs]
    if uncalled:
        raise AttrGraphError(f"the network's forward does not call layer {uncalled[0]!r}, so no gradient comes there")
    gradients = torch.autograd.grad(loss, list(outputs.values()), materialize_grads=True, allow_unused=True)
    return {name: float(gradient.double().norm()) for name, gradient in zip(outputs, gradients, strict=True)}
