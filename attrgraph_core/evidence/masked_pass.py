"""A network of which only some neurons or edges are real, in one forward pass: what a whole circuit computes.

Everything else is ablated: a neuron where it is put out, for all that read it; an edge where it is read, for its target
alone (see `attribution.ablation`). What stands in its place is zero, the mean of reference samples, or another of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from attrgraph_core.attribution.ablation import Kind
from attrgraph_core.attribution.network_pass import NetworkPass
from attrgraph_core.attribution.structure import INPUT, Layer, NetworkStructure
from attrgraph_core.errors import AttrGraphError


@dataclass(frozen=True, eq=False)
class RealNeurons:
    """Which neurons (width,) of some layers are real; in the other layers all are."""

    by_layer: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class RealEdges:
    """The edges `keys` (see `NetworkEdges.keys`) are real and no others, or with `removed` all others."""

    keys: Tensor
    neuron_count: int
    removed: bool = False

    def of(self, targets: Tensor, sources: Tensor) -> Tensor:
        """Which of the edges between these neurons, numbers that broadcast, are real; constants (-1) always are."""
        named = torch.isin(targets * self.neuron_count + sources, self.keys)
        return (named ^ self.removed) | (sources < 0)


Real = RealNeurons | RealEdges


class Replacements:
    """What stands in the place of a value: made of what the network computes of `reference` (samples, ...)."""

    def __init__(self, structure: NetworkStructure, reference: Tensor, kind: Kind, samples: int, seed: int):
        if kind not in ("zero", "mean", "resample"):
            raise AttrGraphError(f"unknown kind of ablation {kind!r}; known are zero, mean, resample")
        if kind == "resample" and len(reference) < 2:
            raise AttrGraphError("resampling takes the values of other samples; give two or more")
        self.kind = kind
        self.reference = reference
        order = torch.randperm(len(reference), generator=torch.Generator().manual_seed(seed))
        # A shift along a random order: of samples that are their own reference, each gets the value of another one.
        other = torch.empty_like(order)
        other[order] = order.roll(1)
        self.rows = other.repeat(-(-samples // len(other)))[:samples].to(reference.device)
        clean = NetworkPass(structure)
        clean.run(reference)
        self.records = clean.recording.layers

    def of_output(self, layer: str) -> Tensor:
        """In the place of a layer's output, (1 or samples, ...)."""
        return self._chosen(self.reference if layer == INPUT else self.records[layer].output)

    def of_operand(self, layer: str, operand: int) -> Tensor:
        """In the place of what a layer reads, (1 or samples, ...)."""
        return self._chosen(self.records[layer].inputs[operand])

    def _chosen(self, values: Tensor) -> Tensor:
        if self.kind == "zero":
            return torch.zeros_like(values[:1])
        return values.mean(dim=0, keepdim=True) if self.kind == "mean" else values[self.rows]


class MaskedPass(NetworkPass):
    """Runs samples (samples, ...) through the network with only `real` neurons or edges."""

    def __init__(self, structure: NetworkStructure, real: Real, replacements: Replacements):
        super().__init__(structure)
        self.real = real
        self.replacements = replacements

    def scores(self, inputs: Tensor) -> Tensor:
        """The network's output (samples, classes)."""
        return self.run(self._at_output(INPUT, self.structure.input_map.index, inputs))

    def _at_output(self, name: str, index: Tensor, values: Tensor) -> Tensor:
        if not isinstance(self.real, RealNeurons) or name not in self.real.by_layer:
            return values
        mask = self.real.by_layer[name].to(index.device)[index].reshape(values.shape[1:]).to(values.device)
        return torch.where(mask, values, self.replacements.of_output(name))

    def weighted(self, layer: Layer, values: Any) -> Tensor:
        if isinstance(self.real, RealEdges):
            output = _masked_product(layer, values, self.replacements.of_operand(layer.name, 0), self.real.of)
        else:
            output = layer.apply(values, layer.weight(), layer.bias())
        return self._at_output(layer.name, layer.neurons.index, output)

    def pass_embedding(self, node: fx.Node, arguments: Any, keywords: Any) -> Tensor:
        (layer,) = self.structure.layers_of_node[node]
        return self._at_output(layer.name, layer.neurons.index, self.plain(node, arguments, keywords))

    def junction(self, node: fx.Node, arguments: Any, keywords: Any) -> Tensor:
        (layer,) = self.structure.layers_of_node[node]
        operands = torch.broadcast_tensors(*arguments[:2])
        if isinstance(self.real, RealEdges):
            own = layer.neurons.index.cpu() + layer.offset
            masks = [self.real.of(own, ids.reshape(-1)).reshape(ids.shape) for ids in layer.reads]
            operands = [
                torch.where(mask.to(part.device), part, self.replacements.of_operand(layer.name, number))
                for number, (part, mask) in enumerate(zip(operands, masks, strict=True))
            ]
        result = self.plain(node, (*operands, *arguments[2:]), keywords)
        return self._at_output(layer.name, layer.neurons.index, result)


_RealOf = Callable[[Tensor, Tensor], Tensor]


def _masked_product(layer: Layer, values: Tensor, replaced: Tensor, real_of: _RealOf) -> Tensor:
    """The output of a layer with weights whose targets see `values` by real edges and `replaced` by the others."""
    columns = _sources_of_columns(layer)
    if columns is None:
        return _product_by_target(layer, values, replaced, real_of)
    weight = layer.weight()
    mask = real_of((_neurons_of_rows(layer) + layer.offset).unsqueeze(1), columns).to(weight.device)
    mask = mask.reshape(*mask.shape, *[1] * (weight.dim() - 2))
    output = layer.apply(values, weight * mask, layer.bias())
    return output if bool(mask.all()) else output + layer.apply(replaced, weight * ~mask, None)


def _sources_of_columns(layer: Layer) -> Tensor | None:
    """The neuron (1 or out, in) that each weight multiplies, or None where it is not the same at all positions."""
    module, ids = layer.module, layer.reads[0]
    if isinstance(module, nn.Linear | nn.MultiheadAttention):
        by_position = ids.reshape(-1, ids.shape[-1])
        return by_position[:1] if bool((by_position == by_position[0]).all()) else None
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return None
    by_channel = ids.reshape(ids.shape[0], -1)
    if not bool((by_channel == by_channel[:, :1]).all()):
        return None
    return by_channel[:, 0].reshape(module.groups, -1).repeat_interleave(module.out_channels // module.groups, dim=0)


def _neurons_of_rows(layer: Layer) -> Tensor:
    """The neuron of the layer that each row of its weight makes, (out,)."""
    rows = layer.weight().shape[0]
    index = layer.neurons.index.cpu()
    has_features_last = isinstance(layer.module, nn.Linear | nn.MultiheadAttention)
    return index.reshape(-1, rows)[0] if has_features_last else index.reshape(rows, -1)[:, 0]


def _product_by_target(layer: Layer, values: Tensor, replaced: Tensor, real_of: _RealOf) -> Tensor:
    """The same where a weight meets other neurons at other positions: once for all targets of the same real edges."""
    ids = layer.reads[0]
    sources, place = torch.unique(ids, return_inverse=True)
    targets = torch.arange(layer.width) + layer.offset
    masks, group_of = torch.unique(real_of(targets.unsqueeze(1), sources.unsqueeze(0)), dim=0, return_inverse=True)
    output: Tensor | None = None
    for number, mask in enumerate(masks):
        seen = torch.where(mask[place].to(values.device), values, replaced)
        part = layer.apply(seen, layer.weight(), layer.bias())
        own = (group_of == number)[layer.neurons.index.cpu()].reshape(part.shape[1:]).to(part.device)
        output = part if output is None else torch.where(own, part, output)
    assert output is not None, "a layer has a neuron at least"
    return output
