"""Removing edges or neurons from a network, reversibly.

A removed weight is zero. Its target's bias takes over what it gave on average (mean ablation), so that the network is
only deprived of what the edge told apart: over samples and positions, `b_j += Σ_i W_ji mean(a_i)`. The means of all
layers are those of the network as it was.
"""

from collections.abc import Iterable, Mapping

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.weight_change import WeightChange, copy_of
from attrgraph_core.surgery.weight_entries import WeightEntries

BATCH_SIZE = 512


def ablate(
    model: nn.Module,
    removed: pd.DataFrame | Mapping[str, Iterable[int]] | WeightEntries,
    inputs: Tensor,
    *,
    compensate: bool = True,
) -> WeightChange:
    """Remove edges (a table of their ends), neurons by layer, or weight entries from `model`, in place.

    `inputs` (samples, ...) are those that the mean contributions are taken over; good samples, where a fault is
    removed. A neuron that is removed stays at the mean of what it summed up, before its activation; without
    `compensate`, at 0. What comes back undoes it: `change.undo(model)`.
    Raises AttrGraphError, before anything is changed, for an edge or neuron without weights of its own, and where a
    layer has no bias to take over a mean.
    """
    entries = _entries(model, removed, inputs, compensate)
    means = _mean_contributions(model, entries, inputs) if compensate else {}
    before = copy_of(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in entries.positions:
                parameter[entries.indices(name, parameter)] = 0.0
        for layer, mean in means.items():
            bias = model.get_submodule(layer).bias
            assert isinstance(bias, Tensor)
            bias += mean
    return WeightChange.between(before, model.state_dict())


def _entries(
    model: nn.Module, removed: pd.DataFrame | Mapping[str, Iterable[int]] | WeightEntries, inputs: Tensor, mean: bool
) -> WeightEntries:
    if isinstance(removed, WeightEntries):
        own = dict(model.named_parameters())
        unknown = [name for name in removed.positions if name not in own]
        if unknown:
            raise AttrGraphError(f"the network has no parameter {unknown[0]!r}; it has {', '.join(own)}")
        return removed
    if isinstance(removed, pd.DataFrame):
        return WeightEntries.of_edges(model, inputs, removed)
    return WeightEntries.into(model, removed, biases=not mean)


def _mean_contributions(model: nn.Module, entries: WeightEntries, inputs: Tensor) -> dict[str, Tensor]:
    """By layer, what its removed weights give each of its neurons on average, (neurons,)."""
    if not len(inputs):
        raise AttrGraphError("there are no inputs to take mean contributions over; give some, or compensate=False")
    removed: dict[str, Tensor] = {}
    for layer in (name.removesuffix(".weight") for name in entries.positions if name.endswith(".weight")):
        module = model.get_submodule(layer)
        if getattr(module, "bias", None) is None:
            raise AttrGraphError(
                f"layer {layer!r} has no bias to take over the mean contribution of what is removed; "
                "give compensate=False"
            )
        weight = module.weight.detach()  # type: ignore[operator]
        own = torch.zeros_like(weight)
        index = entries.indices(f"{layer}.weight", weight)
        own[index] = weight[index]
        removed[layer] = own
    sums = {layer: weight.new_zeros(len(weight), dtype=torch.float64) for layer, weight in removed.items()}
    counts = dict.fromkeys(removed, 0)

    def add(layer: str, module: nn.Module, values: Tensor) -> None:
        given = contribution(module, values, removed[layer])
        by_neuron = given.transpose(0, 1).flatten(1) if given.dim() > 2 and not isinstance(module, nn.Linear) else (
            given.reshape(-1, given.shape[-1]).t()
        )  # fmt: skip
        sums[layer] += by_neuron.double().sum(dim=1)
        counts[layer] += by_neuron.shape[1]

    handles = [
        model.get_submodule(layer).register_forward_pre_hook(
            lambda module, given, layer=layer: add(layer, module, given[0])
        )
        for layer in removed
    ]
    try:
        with evaluation_mode(model), torch.no_grad():
            for batch in inputs.split(BATCH_SIZE):
                model(batch)
    finally:
        for handle in handles:
            handle.remove()
    unread = [layer for layer, count in counts.items() if not count]
    if unread:
        raise AttrGraphError(f"the network's forward does not call layer {unread[0]!r}, so nothing flows along it")
    return {layer: (sums[layer] / counts[layer]).to(removed[layer].dtype) for layer in removed}


def contribution(module: nn.Module, values: Tensor, weight: Tensor) -> Tensor:
    """What a layer with these weights and no bias makes of `values`."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return module._conv_forward(values, weight, None)
    return functional.linear(values, weight)
