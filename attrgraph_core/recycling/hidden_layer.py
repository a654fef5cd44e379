"""Which layers can be recycled: those whose neurons are read by nothing but weights that each are one neuron's."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.structure import Layer, NetworkStructure
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.weight_entries import column_neurons
from attrgraph_core.targeting.target_neurons import targetable_layer


@dataclass(frozen=True, eq=False)
class Reader:
    """A layer that reads a hidden one. `columns` (columns of its weight,) say which neuron each reads, -1 for none;
    `places` (elements of its input,) the same of one sample's input."""

    name: str
    module: nn.Module
    columns: Tensor
    places: Tensor
    is_plain: bool  # a column a neuron, in order


@dataclass(frozen=True, eq=False)
class HiddenLayer:
    """A layer whose neurons can be renewed, and the layers that read it."""

    name: str
    module: nn.Module
    width: int
    readers: tuple[Reader, ...]


def hidden_layers(model: nn.Module, inputs: Tensor) -> tuple[list[HiddenLayer], dict[str, str]]:
    """The layers that can be recycled, and by name of the others why they cannot.

    Raises AttrGraphError where the network cannot be laid out for inputs of the shape of `inputs`, or no layer is left.
    """
    with evaluation_mode(model):
        structure = network_structure(model, inputs)
    found: list[HiddenLayer] = []
    skipped: dict[str, str] = {}
    for layer in structure.trainable:
        if layer.kind == "output":
            continue
        try:
            found.append(_hidden_layer(model, structure, layer))
        except AttrGraphError as error:
            skipped[layer.name] = str(error)
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in skipped.items()) or "it has no hidden layer"
        raise AttrGraphError(f"no layer of the network can be recycled: {reasons}")
    return found, skipped


def _hidden_layer(model: nn.Module, structure: NetworkStructure, layer: Layer) -> HiddenLayer:
    targetable_layer(model, layer.name)
    numbers = torch.arange(layer.offset, layer.offset + layer.width)
    readers = []
    for other in structure.layers:
        if not any(bool(torch.isin(read.reshape(-1).cpu().long(), numbers).any()) for read in other.reads):
            continue
        if other not in structure.trainable:
            raise AttrGraphError(f"{other.name!r}, which reads it, has no weights that could be set to zero")
        if getattr(other.module, "groups", 1) > 1:
            raise AttrGraphError(f"{other.name!r}, which reads it, is a convolution in groups")
        targetable_layer(model, other.name)
        assert other.module is not None
        columns, places = column_neurons(other)[0], other.reads[0].reshape(-1).cpu().long()
        own = _own(columns, layer)
        is_plain = torch.equal(own, torch.arange(layer.width))
        readers.append(Reader(other.name, other.module, own, _own(places, layer), is_plain))
    if not readers:
        raise AttrGraphError("no layer reads it")
    assert layer.module is not None
    return HiddenLayer(layer.name, layer.module, layer.width, tuple(readers))


def _own(numbers: Tensor, layer: Layer) -> Tensor:
    inside = (numbers >= layer.offset) & (numbers < layer.offset + layer.width)
    return torch.where(inside, numbers - layer.offset, -1)
