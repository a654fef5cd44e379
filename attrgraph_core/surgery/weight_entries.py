"""Weight entries: which numbers of a network's parameters a circuit's edges, or neurons, are.

An edge from channel to channel is all its taps; an edge out of a channel that was flattened, all its positions. An edge
between a pixel and a channel has no weights of its own, nor has one into a sum or a product.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.structure import INPUT, TRAINABLE, Layer, NetworkStructure
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.neuron_set import sorted_neurons
from attrgraph_core.targeting.target_neurons import targetable_layer, targetable_layers

EDGE_ENDS = ("source_layer", "source_index", "target_layer", "target_index")


@dataclass(frozen=True, eq=False)
class WeightEntries:
    """Places in parameters by name, `{"fc1.weight": positions}`: sorted, in the order of the elements, from 0."""

    positions: dict[str, Tensor]

    @property
    def count(self) -> int:
        """How many numbers."""
        return sum(len(places) for places in self.positions.values())

    def indices(self, name: str, parameter: Tensor) -> tuple[Tensor, ...]:
        """The places in `parameter` as an index, whatever its memory format."""
        return torch.unravel_index(self.positions[name].to(parameter.device), parameter.shape)

    @classmethod
    def of_edges(
        cls, model: nn.Module, inputs: Tensor, edges: pd.DataFrame, structure: NetworkStructure | None = None
    ) -> "WeightEntries":
        """Those of edges, a row each: source_layer, source_index, target_layer, target_index, as queries give them.

        `inputs` (samples, ...) tell how the network is laid out, where its `structure` is not given. Raises
        AttrGraphError for a table without these columns or rows, and for an edge that has no weights of its own.
        """
        missing = [column for column in EDGE_ENDS if column not in edges]
        if missing:
            raise AttrGraphError(f"the edges have no column {missing[0]!r}; they need {', '.join(EDGE_ENDS)}")
        if not len(edges):
            raise AttrGraphError("there are no edges; name at least one")
        if structure is None:
            with evaluation_mode(model):
                structure = network_structure(model, inputs)
        positions: dict[str, Tensor] = {}
        for name, own in edges.groupby("target_layer", sort=False):
            layer = _weighted_layer(model, structure, str(name))
            positions[f"{name}.weight"] = _positions(structure, layer, own)
        return cls(positions)

    @classmethod
    def out_of(cls, model: nn.Module, inputs: Tensor, neurons: Iterable[int], layer: str = INPUT) -> "WeightEntries":
        """All weights that read some neurons of one layer, by default input neurons, wherever they are read.

        Raises AttrGraphError where something else than a layer's weights reads them: a convolution reads pixels with
        weights that all pixels share.
        """
        with evaluation_mode(model):
            structure = network_structure(model, inputs)
        chosen = sorted_neurons({layer: neurons})[layer]
        numbers = torch.tensor(chosen) + first_number(structure, layer, chosen)
        positions: dict[str, Tensor] = {}
        for reader in structure.layers:
            if not torch.isin(torch.cat([read.reshape(-1).cpu() for read in reader.reads]).long(), numbers).any():
                continue
            _weighted_layer(model, structure, reader.name)
            codes = column_neurons(reader)
            found = torch.isin(codes, numbers).nonzero()
            positions[f"{reader.name}.weight"] = _flat(reader, found[:, 0], found[:, 1])
        if not positions:
            raise AttrGraphError(f"no layer reads neurons {list(chosen)[:5]} of {layer!r}")
        return cls(positions)

    @classmethod
    def into(cls, model: nn.Module, neurons: Mapping[str, Iterable[int]], biases: bool = False) -> "WeightEntries":
        """The incoming weights of neurons by layer, `{"fc1": [3, 17]}`, with their biases or without."""
        positions: dict[str, Tensor] = {}
        for name, indices in sorted_neurons(neurons).items():
            module = targetable_layer(model, name)
            if not isinstance(module, TRAINABLE):
                raise AttrGraphError(f"layer {name!r} is a {type(module).__name__}, whose neurons cannot be removed")
            width = len(module.weight)
            if indices[-1] >= width:
                raise AttrGraphError(f"layer {name!r} has neurons 0 to {width - 1}, no neuron {indices[-1]}")
            length = module.weight[0].numel()
            rows = torch.tensor(indices).unsqueeze(1) * length + torch.arange(length)
            positions[f"{name}.weight"] = rows.reshape(-1)
            if biases and module.bias is not None:
                positions[f"{name}.bias"] = torch.tensor(indices)
        return cls(positions)


def first_number(structure: NetworkStructure, layer: str, neurons: Iterable[int] = ()) -> int:
    """The number, in the whole network, of a layer's neuron 0. Raises AttrGraphError for what is not there."""
    widths = structure.widths
    if layer not in widths:
        raise AttrGraphError(f"the network has no layer {layer!r}; its layers are {', '.join(widths)}")
    outside = [index for index in neurons if not 0 <= index < widths[layer]]
    if outside:
        raise AttrGraphError(f"layer {layer!r} has neurons 0 to {widths[layer] - 1}, no neuron {outside[0]}")
    return 0 if layer == INPUT else next(own.offset for own in structure.layers if own.name == layer)


def column_neurons(layer: Layer) -> Tensor:
    """The number of the neuron that each weight reads, (targets, columns), -1 for constants; taps are one column.

    Raises AttrGraphError where a weight reads several neurons, such as the pixels of an image.
    """
    weight = layer.weight()
    if isinstance(layer.module, nn.Linear):
        by_place = layer.reads[0].reshape(-1, weight.shape[1]).cpu().long().t()
    else:
        by_place = layer.reads[0].flatten(1).cpu().long()
    numbers = by_place.max(dim=1).values
    if bool(((by_place != numbers.unsqueeze(1)) & (by_place >= 0)).any()):
        raise AttrGraphError(
            f"a weight of layer {layer.name!r} reads many neurons at once (the same at each position), so that no "
            "edge into it has weights of its own; mask inputs by `mask_inputs`, or choose edges of later layers"
        )
    groups = getattr(layer.module, "groups", 1)
    return numbers.reshape(groups, -1).repeat_interleave(len(weight) // groups, dim=0)


def layers_with_edges(model: nn.Module, inputs: Tensor) -> list[str]:
    """The layers into which every edge has weights of its own: not a convolution of pixels, nor a sum."""
    with evaluation_mode(model):
        structure = network_structure(model, inputs)
    found = []
    for layer in structure.trainable:
        try:
            targetable_layer(model, layer.name)
            column_neurons(layer)
        except AttrGraphError:
            continue
        found.append(layer.name)
    return found


def _weighted_layer(model: nn.Module, structure: NetworkStructure, name: str) -> Layer:
    layer = next((layer for layer in structure.layers if layer.name == name), None)
    if layer is None:
        raise AttrGraphError(f"the network has no layer {name!r} that edges lead into")
    if layer not in structure.trainable:
        known = ", ".join(targetable_layers(model))
        raise AttrGraphError(f"edges into {name!r} have no weights of their own; those into {known} have")
    targetable_layer(model, name)  # unshared weights, and nothing that computes them
    return layer


def edge_sizes(structure: NetworkStructure, edges: pd.DataFrame) -> pd.Series:
    """The absolute weight of each edge of a table, added over taps and positions; its index is that of the table."""
    parts = []
    layers = {layer.name: layer for layer in structure.layers}
    for name, own in edges.groupby("target_layer", sort=False):
        layer = layers[str(name)]
        rows, codes, wanted = _codes(structure, layer, own)
        weight = layer.weight().abs()[rows].double()
        known, places = codes.unique(return_inverse=True)
        by_column = weight.flatten(2).sum(dim=2) if weight.dim() > 2 else weight
        sizes = torch.zeros(len(known), dtype=torch.float64).index_add_(
            0, places.reshape(-1), by_column.reshape(-1).cpu()
        )
        parts.append(pd.Series(sizes[torch.searchsorted(known, wanted)].numpy(), index=own.index))
    return pd.concat(parts)


def _positions(structure: NetworkStructure, layer: Layer, edges: pd.DataFrame) -> Tensor:
    rows, codes, wanted = _codes(structure, layer, edges)
    unknown = (~torch.isin(wanted, codes)).nonzero()
    if len(unknown):
        row = edges.iloc[int(unknown[0])]
        raise AttrGraphError(
            f"the network has no edge from {row['source_layer']}/{row['source_index']} to "
            f"{row['target_layer']}/{row['target_index']}"
        )
    found = torch.isin(codes, wanted).nonzero()
    return _flat(layer, rows[found[:, 0]], found[:, 1])


def _codes(structure: NetworkStructure, layer: Layer, edges: pd.DataFrame) -> tuple[Tensor, Tensor, Tensor]:
    """The targets among the edges, a number for each pair of one of them and what its columns read, (targets,
    columns), and the same number of each edge."""
    targets = torch.from_numpy(edges["target_index"].to_numpy("int64", copy=True))
    if int(targets.min()) < 0 or int(targets.max()) >= layer.width:
        raise AttrGraphError(f"layer {layer.name!r} has neurons 0 to {layer.width - 1}, no neuron {int(targets.max())}")
    sources = torch.zeros(len(edges), dtype=torch.int64)
    for name in edges["source_layer"].unique():
        own = torch.from_numpy((edges["source_layer"] == name).to_numpy(copy=True))
        indices = torch.from_numpy(edges["source_index"].to_numpy("int64", copy=True))[own]
        sources[own] = indices + first_number(structure, str(name), indices.tolist())
    count = sum(structure.widths.values())
    rows = targets.unique()
    return rows, rows.unsqueeze(1) * count + column_neurons(layer)[rows], targets * count + sources


def _flat(layer: Layer, rows: Tensor, columns: Tensor) -> Tensor:
    weight = layer.weight()
    taps = weight[0, 0].numel()
    first = (rows * weight.shape[1] + columns) * taps
    return (first.unsqueeze(1) + torch.arange(taps)).reshape(-1)
