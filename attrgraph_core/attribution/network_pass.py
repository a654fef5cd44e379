"""One pass of a batch through a laid-out network, recording what its layers read and put out.

Run as it is, the pass has the network's own derivative. A method that passes an operation by another rule overrides the
operation's kind (see `operations`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from attrgraph_core.attribution.attention import attention, attention_arguments
from attrgraph_core.attribution.structure import Layer, NetworkStructure
from attrgraph_core.attribution.tracing import operation_of
from attrgraph_core.errors import AttrGraphError

_MAY_COPY = {"view": "reshape", "view_as": "reshape_as"}


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """A layer in a pass: `inputs` (one, a junction's operands are several) and `output`, samples first.

    `reference_inputs` and `reference_output` are those of the baseline, where there is one. `pieces` are the parts that
    a rule splits a layer's product into.
    """

    layer: Layer
    inputs: tuple[Tensor, ...]
    output: Tensor
    reference_inputs: tuple[Tensor, ...] = ()
    reference_output: Tensor | None = None
    pieces: tuple["PieceRecord", ...] = ()


@dataclass(frozen=True, eq=False)
class PieceRecord:
    """A part of a layer's product: `output` of `source` by `weight`, and the `stabiliser` beside it."""

    source: Tensor
    weight: Tensor
    output: Tensor
    stabiliser: Tensor


@dataclass(frozen=True, eq=False)
class Shift:
    """A constant that is part of a tensor of the pass, of layer `layer` where it is one's: a bias, a stabiliser."""

    value: Tensor
    output: Tensor
    layer: Layer | None


@dataclass
class Recording:
    """The layers of a pass in order, and the constants in it."""

    layers: dict[str, LayerRecord] = field(default_factory=dict)
    shifts: list[Shift] = field(default_factory=list)


class NetworkPass(fx.Interpreter):
    """Runs the network; `recording` holds what was seen. With `keep_shifts` constants are recorded, too."""

    def __init__(self, structure: NetworkStructure, keep_shifts: bool = False):
        super().__init__(structure.traced, garbage_collect_values=True)
        self.extra_traceback = False
        self.structure = structure
        self.keep_shifts = keep_shifts
        self.recording = Recording()

    def run_node(self, n: fx.Node) -> Any:
        if n.op not in ("call_module", "call_function", "call_method"):
            return super().run_node(n)
        arguments, keywords = self.fetch_args_kwargs_from_env(n)
        kind = self.structure.kinds.get(n, "constant")
        return getattr(self, f"pass_{kind}", self.plain)(n, arguments, keywords)

    def plain(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        """The operation as it is, never in place."""
        arguments, keywords = _not_in_place(node, self.operation(node), arguments, keywords)
        return _in_one_order(getattr(self, node.op)(node.target, arguments, keywords))

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A method of a tensor; a view asks for an order in memory that the pass may have changed, so it may copy."""
        is_of_shape = not any(isinstance(part, torch.dtype) for part in (*args, *kwargs.values()))
        return super().call_method(_MAY_COPY.get(target, target) if is_of_shape else target, args, kwargs)

    def operation(self, node: fx.Node) -> Any:
        return operation_of(node, self.structure.traced)

    def pass_affine(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        output = self.plain(node, arguments, keywords)
        if self.keep_shifts:
            self.keep_shift(self._at_zero(node, arguments, keywords), output)
        return output

    def keep_shift(self, shift: Tensor, output: Tensor, layer: Layer | None = None) -> None:
        if self.keep_shifts:
            self.recording.shifts.append(Shift(shift.detach(), output, layer))

    def pass_weighted(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        (layer,) = self.structure.layers_of_node[node]
        return self.weighted(layer, *arguments, *keywords.values())

    def weighted(self, layer: Layer, values: Any) -> Any:
        """The output of a layer with weights, recorded."""
        bias = layer.bias()
        output = differentiable(layer.apply(values, layer.weight(), bias))
        self.recording.layers[layer.name] = LayerRecord(layer, (values,), output)
        if bias is not None:
            self.keep_shift(channel_shape(bias, output, layer), output, layer)
        return output

    def pass_embedding(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        (layer,) = self.structure.layers_of_node[node]
        with torch.no_grad():
            output = self.plain(node, arguments, keywords)
        output = output.detach().requires_grad_()
        self.recording.layers[layer.name] = LayerRecord(layer, (output,), output)
        return output

    def pass_add(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        return self.junction(node, arguments, keywords)

    def pass_multiply(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        return self.junction(node, arguments, keywords)

    def junction(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        """Two tensors joined; aliases of them tell what flows through this use of each."""
        (layer,) = self.structure.layers_of_node[node]
        first, second = (alias(part) for part in torch.broadcast_tensors(*arguments[:2]))
        output = self.plain(node, (first, second, *arguments[2:]), keywords)
        self.recording.layers[layer.name] = LayerRecord(layer, (first, second), output)
        return output

    def pass_attention(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        heads, projection = self.structure.layers_of_node[node]
        module = self.operation(node)
        given = attention_arguments(arguments, keywords)
        values = self.weighted(heads, given["value"])
        return self.weighted(projection, self.attended(module, given, values)), None

    def attended(self, module: nn.MultiheadAttention, given: dict[str, Any], values: Any) -> Any:
        """Values averaged by the weights of their heads, (samples, queries, features)."""
        return attention(module, given, values)

    def _at_zero(self, node: fx.Node, arguments: Any, keywords: Any) -> Tensor:
        """The operation with zeros in the place of every tensor that an input reaches."""
        reached = {id(self.env[argument]) for argument in node.all_input_nodes if self._is_reached(argument)}

        def zero(part: Any) -> Any:
            return torch.zeros_like(part) if isinstance(part, Tensor) and id(part) in reached else part

        flat = tree_map(zero, (arguments, keywords))
        with torch.no_grad():
            return self.plain(node, *flat)

    def _is_reached(self, node: fx.Node) -> bool:
        if node.op == "placeholder":
            return True
        return node.op != "get_attr" and self.structure.kinds.get(node, "constant") not in ("constant", "context")


@contextmanager
def known_tokens(structure: NetworkStructure) -> Iterator[None]:
    """Around a pass: a token without an embedding becomes an AttrGraphError."""
    try:
        yield
    except IndexError as error:
        if not structure.reads_tokens:
            raise
        raise unknown_token() from error


def unknown_token() -> AttrGraphError:
    return AttrGraphError("an input or the baseline holds a token that the network has no embedding for")


def differentiable(output: Tensor) -> Tensor:
    """The output of a layer, from which on derivatives are taken where nobody asks for those of the input."""
    return output.requires_grad_() if torch.is_grad_enabled() else output


def alias(values: Tensor) -> Tensor:
    """The same values as a step of their own in the derivative."""
    return values.view_as(values)


def channel_shape(bias: Tensor, output: Tensor, layer: Layer) -> Tensor:
    """A bias (out,) in a shape that broadcasts against a layer's output."""
    is_linear = layer.operation == "heads" or isinstance(layer.module, nn.Linear)
    return bias if is_linear else bias.reshape(-1, *[1] * (output.dim() - 2))


def _in_one_order(output: Any) -> Any:
    """`output`, whose gradient comes in the same order of memory: channels first met with channels last take ten times
    as long."""
    is_made_here = isinstance(output, Tensor) and output.grad_fn is not None  # and not the model's
    if is_made_here and output.dim() == 4 and not output.is_contiguous():
        order = torch.channels_last
        if output.is_contiguous(memory_format=order):
            output.register_hook(lambda gradient: gradient.contiguous(memory_format=order))
    return output


def _not_in_place(node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[Any, Any]:
    """Copies of the arguments where the operation would overwrite what is recorded."""
    name = operation if isinstance(operation, str) else getattr(operation, "__name__", "")
    in_place = (
        getattr(operation, "inplace", False)
        or keywords.get("inplace", False)
        or (name.endswith("_") and not name.startswith("_"))
        or name in ("iadd", "isub", "imul")
        or (name.startswith(("relu", "elu", "leaky_relu", "dropout")) and any(part is True for part in arguments[1:]))
    )
    if not in_place:
        return arguments, keywords
    first, *others = arguments
    return (tree_map(lambda part: part.clone() if isinstance(part, Tensor) else part, first), *others), keywords
