"""The scores of a laid-out network as a module that Captum can attribute.

The network's own pass is run, with a module that does nothing (a tap) at the input and behind every layer of the graph.
Captum puts its hooks on taps: functional operations, junctions, heads and modules that work in place are seen like any
other layer, and the network itself never has a hook.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn

from attrgraph_core.attribution.network_pass import NetworkPass
from attrgraph_core.attribution.structure import INPUT, Layer, NetworkStructure
from attrgraph_core.attribution.target import Target


class TappedNetwork(nn.Module):
    """`network(inputs, rows)` are the target's scores (rows,); `rows` says of which sample each input is a row."""

    def __init__(self, structure: NetworkStructure, target: Target):
        super().__init__()
        self.structure = structure
        self.target = target
        self._places = {name: place for place, name in enumerate(structure.names)}
        self._taps = nn.ModuleList(nn.Identity() for _ in self._places)

    def tap(self, name: str) -> nn.Module:
        """The module whose output is that of the layer, or the input."""
        return self._taps[self._places[name]]

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        logits = _TappedPass(self.structure, self).run(self.tap(INPUT)(inputs))
        return self.target.part(rows).score(logits)


class _TappedPass(NetworkPass):
    def __init__(self, structure: NetworkStructure, network: TappedNetwork):
        super().__init__(structure)
        self.network = network

    def weighted(self, layer: Layer, values: Any) -> Any:
        return self.network.tap(layer.name)(super().weighted(layer, values))

    def pass_embedding(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        (layer,) = self.structure.layers_of_node[node]
        return self.network.tap(layer.name)(super().pass_embedding(node, arguments, keywords))

    def junction(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        (layer,) = self.structure.layers_of_node[node]
        return self.network.tap(layer.name)(super().junction(node, arguments, keywords))


def sample_rows(inputs: Tensor) -> tuple[Tensor]:
    """`rows` of inputs (samples, ...) that are a row each; Captum repeats them as it repeats the inputs."""
    return (torch.arange(len(inputs), device=inputs.device),)
