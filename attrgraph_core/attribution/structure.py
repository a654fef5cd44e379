"""A network laid out as layers of neurons that read one another; `layout.network_structure` makes it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, fx, nn

from attrgraph_core.attribution.sources import NeuronMap, Sources

INPUT = "input"
TRAINABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, eq=False)
class Layer:
    """Neurons of the graph, and what they read.

    `operation` is weighted, embedding, heads (values of an attention, a neuron a head) or junction (two tensors added
    or multiplied). `neurons` maps a sample's output to neurons, `sources` what is read to neurons of other layers.
    `reads` has for each tensor that is read (a junction's operands are two) the number, in the whole network, of the
    neuron that each element of a sample stands for, -1 for constants.
    """

    name: str
    kind: str
    operation: str
    node: fx.Node
    module: nn.Module | None
    neurons: NeuronMap
    sources: Sources
    offset: int
    reads: tuple[Tensor, ...] = ()

    @property
    def width(self) -> int:
        """How many neurons."""
        return self.neurons.width

    def weight(self) -> Tensor:
        """The weights, without gradient; shape as in PyTorch, (out, in) of an attention's values."""
        if isinstance(self.module, nn.MultiheadAttention):
            module = self.module
            if module._qkv_same_embed_dim:
                return module.in_proj_weight.detach()[2 * module.embed_dim :]
            return module.v_proj_weight.detach()
        assert self.module is not None
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        return weight.detach()

    def bias(self) -> Tensor | None:
        """The bias (out,), without gradient, or None."""
        if isinstance(self.module, nn.MultiheadAttention):
            bias = self.module.in_proj_bias
            return None if bias is None else bias.detach()[2 * self.module.embed_dim :]
        found = getattr(self.module, "bias", None)
        return None if found is None else found.detach()

    def apply(self, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What the layer computes of `values` (samples, ...) with these weights and bias."""
        module = self.module
        if isinstance(module, nn.Conv2d) and values.device.type == "cpu":
            # A convolution and its derivatives take a fifth to a third less time where channels are last in memory.
            values = values.contiguous(memory_format=torch.channels_last)
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return module._conv_forward(values, weight, bias)
        if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            transposed = {1: nn.functional.conv_transpose1d, 2: nn.functional.conv_transpose2d}
            function: Callable[..., Tensor] = transposed.get(weight.dim() - 2, nn.functional.conv_transpose3d)
            return function(
                values, weight, bias, module.stride, module.padding, module.output_padding, module.groups,
                module.dilation,
            )  # fmt: skip
        return nn.functional.linear(values, weight, bias)


@dataclass(frozen=True, eq=False)
class NetworkStructure:
    """A traced network laid out for inputs of one shape: its layers, in the order they are computed."""

    traced: fx.GraphModule
    input_map: NeuronMap
    layers: tuple[Layer, ...]
    kinds: dict[fx.Node, str]
    output_layer: Layer
    reads_tokens: bool
    layers_of_node: dict[fx.Node, tuple[Layer, ...]] = field(default_factory=dict)

    @property
    def trainable(self) -> tuple[Layer, ...]:
        """The layers whose neurons have weights of their own (rows), from the input on; the last is the output."""
        return tuple(
            layer
            for layer in self.layers
            if isinstance(layer.module, TRAINABLE) and str(layer.node.target) == layer.name
        )

    @cached_property
    def input_readers(self) -> tuple[Layer, ...]:
        """The layers with weights that read the input and nothing else, moved or scaled at most; none where anything
        else reads it.

        What the input gets is then what its edges give it, and what they read is linear in it.
        """
        readers: dict[str, Layer] = {}
        reached = [next(node for node in self.traced.graph.nodes if node.op == "placeholder")]
        for node in reached:
            for user in node.users:
                kind = self.kinds.get(user, "constant")
                if kind == "weighted":
                    readers |= {layer.name: layer for layer in self.layers_of_node[user]}
                    if any(int(layer.sources.neurons.max()) >= self.input_map.width for layer in readers.values()):
                        return ()
                elif kind == "linear":
                    reached.append(user)
                elif kind != "constant":
                    return ()
        return tuple(readers.values())

    @property
    def output_elements(self) -> int:
        """How many elements the outputs of all layers have for a sample, the input among them."""
        return sum(len(neurons.index) for neurons in (self.input_map, *(layer.neurons for layer in self.layers)))

    @property
    def widths(self) -> dict[str, int]:
        """How many neurons each layer has, the input first."""
        return {INPUT: self.input_map.width} | {layer.name: layer.width for layer in self.layers}

    @property
    def names(self) -> list[str]:
        """The layers' names, the input first."""
        return list(self.widths)

    def lies_on_all_paths(self, layer: Layer) -> bool:
        """Whether everything that flows from the input to the scores goes through the layer."""
        waiting = [node for node in self.traced.graph.nodes if node.op == "placeholder"]
        seen = {layer.node}
        while waiting:
            node = waiting.pop()
            if node in seen or self.kinds.get(node) in ("constant", "context"):
                continue
            if node.op == "output":
                return False
            seen.add(node)
            waiting += node.users
        return True

    def has(self, *kinds: str) -> list[fx.Node]:
        """The nodes of some kinds, in order."""
        return [node for node in self.traced.graph.nodes if self.kinds.get(node) in kinds]
