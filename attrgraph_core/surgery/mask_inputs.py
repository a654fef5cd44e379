"""Neutralising input neurons that are to blame: the network reads a reference in their place.

Where linear layers alone read the input, removing the edges out of these neurons with mean compensation is the same
function in the weights themselves: `ablate(model, WeightEntries.out_of(model, inputs, neurons), inputs)`.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.neuron_set import sorted_neurons


def mask_inputs(model: nn.Module, neurons: Iterable[int], reference: Tensor) -> RemovableHandle:
    """From now on `model` reads the values of one input, `reference`, in place of `neurons`: `good.mean(dim=0)`, say.

    `neurons` are places in one flattened input. `handle.remove()` ends it. It is no part of the weights, and a graph of
    the model does not know of it: attribute masked inputs instead. Raises AttrGraphError for a neuron that is not
    there.
    """
    chosen = torch.tensor(sorted_neurons({"input": neurons})["input"])
    if int(chosen.max()) >= reference.numel():
        raise AttrGraphError(f"the input has neurons 0 to {reference.numel() - 1}, no neuron {int(chosen.max())}")
    values = reference.detach().reshape(-1)[chosen]

    def mask(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        inputs = given[0]
        if inputs.shape[1:] != reference.shape:
            raise AttrGraphError(
                f"the reference has shape {tuple(reference.shape)}; one input has {tuple(inputs.shape[1:])}"
            )
        masked = inputs.clone().reshape(len(inputs), -1)
        masked[:, chosen.to(inputs.device)] = values.to(inputs)
        return masked.reshape(inputs.shape), *given[1:]

    return model.register_forward_pre_hook(mask)
