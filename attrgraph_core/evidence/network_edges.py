"""All edges that a network has, by what its layers read, and random ones among them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.structure import INPUT, Layer, NetworkStructure
from attrgraph_core.circuits.circuit import Edge
from attrgraph_core.errors import AttrGraphError


@dataclass(frozen=True, eq=False)
class _Block:
    """Edges from all `sources` to all `targets` (numbers in the whole network), or pair by pair."""

    targets: Tensor
    sources: Tensor
    is_product: bool

    def __len__(self) -> int:
        return len(self.targets) * len(self.sources) if self.is_product else len(self.targets)

    def of_source_layer(self, first: int, end: int) -> "_Block":
        own = (self.sources >= first) & (self.sources < end)
        return _Block(self.targets if self.is_product else self.targets[own], self.sources[own], self.is_product)

    def edge(self, place: int) -> tuple[int, int]:
        """Target and source of one of its edges."""
        if not self.is_product:
            return int(self.targets[place]), int(self.sources[place])
        target, source = divmod(place, len(self.sources))
        return int(self.targets[target]), int(self.sources[source])


class NetworkEdges:
    """The edges of a network that was laid out, and its neurons' numbers: those of the input first, then by layer."""

    def __init__(self, structure: NetworkStructure):
        self.structure = structure
        self.offsets = {INPUT: 0} | {layer.name: layer.offset for layer in structure.layers}
        self.widths = structure.widths
        self.neuron_count = sum(self.widths.values())

    @cached_property
    def count(self) -> int:
        """How many edges; those from tokens to their embedding, which have no value to ablate, not among them."""
        return sum(len(block) for blocks in self._blocks.values() for block in blocks)

    @cached_property
    def _blocks(self) -> dict[str, list[_Block]]:
        return {layer.name: _blocks(layer) for layer in self.structure.layers if layer.operation != "embedding"}

    def keys(self, edges: Iterable[Edge]) -> Tensor:
        """Edges as sorted numbers (edges,). Raises AttrGraphError for a neuron that the network has not."""
        rows = [
            self._number(target_layer, target) * self.neuron_count + self._number(source_layer, source)
            for source_layer, source, target_layer, target in edges
        ]
        return torch.tensor(sorted(set(rows)), dtype=torch.int64)

    def _number(self, layer: str, index: int) -> int:
        if not 0 <= index < self.widths.get(layer, 0):
            known = ", ".join(f"{name} ({width})" for name, width in self.widths.items())
            raise AttrGraphError(
                f"neuron {layer}/{index} is not in the network, whose layers are {known}; give the network of the graph"
            )
        return self.offsets[layer] + index

    def random_like(self, edges: Iterable[Edge], generator: np.random.Generator) -> list[Edge]:
        """As many random edges of the network, between each two layers as many as there are in `edges`."""
        drawn: list[Edge] = []
        for (source_layer, target_layer), count in sorted(Counter((edge[0], edge[2]) for edge in edges).items()):
            first = self.offsets[source_layer]
            end = first + self.widths[source_layer]
            blocks = [block.of_source_layer(first, end) for block in self._blocks.get(target_layer, [])]
            ends = np.cumsum([len(block) for block in blocks])
            for place in generator.choice(int(ends[-1]) if len(ends) else 0, size=count, replace=False):
                number = int(np.searchsorted(ends, place, side="right"))
                start = int(ends[number - 1]) if number else 0
                target, source = blocks[number].edge(int(place) - start)
                drawn.append((source_layer, source - first, target_layer, target - self.offsets[target_layer]))
        return drawn


def _blocks(layer: Layer) -> list[_Block]:
    targets = torch.arange(layer.offset, layer.offset + layer.width)
    if layer.operation == "junction":
        own = layer.neurons.index.cpu() + layer.offset
        pairs = torch.cat([torch.stack([own, ids.reshape(-1)], dim=1) for ids in layer.reads])
        pairs = torch.unique(pairs[pairs[:, 1] >= 0], dim=0)
        return [_Block(pairs[:, 0], pairs[:, 1], is_product=False)]
    ids = layer.reads[0]
    groups = getattr(layer.module, "groups", 1) if not isinstance(layer.module, nn.MultiheadAttention) else 1
    parts = zip(targets.chunk(groups), ids.chunk(groups), strict=True) if groups > 1 else [(targets, ids)]
    return [_Block(own, torch.unique(read[read >= 0]), is_product=True) for own, read in parts]
