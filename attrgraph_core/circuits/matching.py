"""Which neuron of one network is which neuron of another: the assignment with the largest sum of correlations.

Two runs of one architecture learn alike neurons in other places. Layer by layer, the correlation of what each pair of
neurons computes (before the activation function) over the same samples, and for channels over positions, too, is
made; the Hungarian method gives every neuron one partner (Li et al., 2015, Convergent Learning).
"""

from functools import partial
from typing import Any

import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.errors import AttrGraphError


def match_neurons(model: nn.Module, other: nn.Module, inputs: Tensor) -> pd.DataFrame:
    """A row a matched pair of the hidden layers that both have by name: layer, index, other_index, correlation.

    `inputs` (samples, ...) are shown to both; a neuron that is constant on them correlates 0 with all. Both networks
    are left as they were. Raises AttrGraphError for fewer than two samples, and for networks that share no layer.
    """
    if len(inputs) < 2:
        raise AttrGraphError(f"{len(inputs)} samples have no correlation; give two or more")
    first, second = _activations(model, inputs), _activations(other, inputs)
    shared = [name for name in first if name in second]
    if not shared:
        raise AttrGraphError(
            f"the networks share no hidden layer by name: {', '.join(first)} against {', '.join(second)}"
        )
    return pd.concat([_matched(name, first[name], second[name]) for name in shared], ignore_index=True)


def _matched(layer: str, first: Tensor, second: Tensor) -> pd.DataFrame:
    if len(first) != len(second):
        raise AttrGraphError(f"layer {layer!r} has {len(first)} and {len(second)} values a neuron: maps differ in size")
    correlation = (_standardised(first).T @ _standardised(second)).cpu().numpy()
    index, other_index = linear_sum_assignment(correlation, maximize=True)
    return pd.DataFrame(
        {"layer": layer, "index": index, "other_index": other_index, "correlation": correlation[index, other_index]}
    )


def _standardised(values: Tensor) -> Tensor:
    """Columns (observations, neurons) of mean 0 and length 1; a constant one is 0."""
    centred = values.double() - values.double().mean(dim=0)
    length = centred.norm(dim=0)
    is_constant = length <= 1e-12 * values.double().norm(dim=0).clamp(min=1e-300)
    return torch.where(is_constant, torch.zeros_like(centred), centred / length.clamp(min=1e-300))


def _activations(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """What each hidden layer with weights computes, (samples x positions, neurons)."""
    found: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, given: Any, output: Tensor) -> None:
        neurons_last = output if isinstance(module, nn.Linear) else output.movedim(1, -1)
        found[name] = neurons_last.detach().reshape(-1, neurons_last.shape[-1])

    with evaluation_mode(model), torch.no_grad():
        structure = network_structure(model, inputs)
        modules = dict(model.named_modules())
        hooks = [
            modules[layer.name].register_forward_hook(partial(keep, layer.name))
            for layer in structure.trainable
            if layer is not structure.output_layer
        ]
        try:
            model(inputs)
        finally:
            for hook in hooks:
                hook.remove()
    return found
