"""The operations of a network in order, by `torch.fx`: every call is seen, functional ones included.

PyTorch's own modules stay whole, but for transformer encoders, whose forward branches on values to choose a fast path:
they are traced by what they compute without it. Arguments beside the input have their defaults, whatever branches on
them. What can be written in several ways is rewritten to one, so that a rule need only be known for that.
"""

import inspect
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import ParameterProxy
from torch.utils._pytree import tree_flatten, tree_map

from attrgraph_core.errors import AttrGraphError

_WRAPPERS = {  # what a user has in hand after torch.compile, jit.script and the like
    "OptimizedModule": "model._orig_mod",
    "DataParallel": "model.module",
    "DistributedDataParallel": "model.module",
    "RecursiveScriptModule": "the one before torch.jit.script",
}


def trace(model: nn.Module, inputs: Tensor) -> fx.GraphModule:
    """The traced network, in the mode that `model` is in, for inputs of the shape of `inputs` (samples, ...).

    Raises AttrGraphError where it cannot be traced.
    """
    if (inner := _WRAPPERS.get(type(model).__name__)) is not None:
        raise AttrGraphError(f"{type(model).__name__} hides the network that it wraps; give the network: {inner}")
    if _Tracer(inputs.shape).is_leaf_module(model, ""):
        raise AttrGraphError(
            f"{type(model).__name__} alone is a layer without a network around it; give nn.Sequential(layer)"
        )
    _check_arguments(model)
    try:
        graph = _traced_graph(model, inputs.shape)
    except Exception as error:
        raise AttrGraphError(
            f"{type(model).__name__} cannot be traced by torch.fx ({_first_line(error)}); its forward must not branch "
            "on values or on what isinstance says of them, nor keep them as buffers"
        ) from error
    _rewrite(graph)
    return fx.GraphModule(model, graph)


def _traced_graph(model: nn.Module, shape: torch.Size) -> fx.Graph:
    """Buffers are part of the trace, so that they can be cut to the input's size; where the forward branches on one or
    writes one, they are taken at their values."""
    try:
        return _Tracer(shape, traces_buffers=True).trace(model)
    except Exception as error:
        try:
            return _Tracer(shape).trace(model)
        except Exception:
            raise error from None


def _check_arguments(model: nn.Module) -> None:
    _, *others = inspect.signature(type(model).forward).parameters.values()
    needed = [own.name for own in others if own.default is own.empty and own.kind not in (own.VAR_POSITIONAL,
                                                                                         own.VAR_KEYWORD)]  # fmt: skip
    if len(needed) > 1:
        raise AttrGraphError(f"the network must take one input; {needed[1]!r} is another that has no default")


def leaves(arguments: Any) -> list[Any]:
    """What the arguments of an operation are made of, the ends of slices among it."""
    found: list[Any] = []
    for leaf in tree_flatten(arguments)[0]:
        found += [leaf.start, leaf.stop, leaf.step] if isinstance(leaf, slice) else [leaf]
    return found


def map_leaves(function: Callable[[Any], Any], arguments: Any) -> Any:
    """The arguments with `function` applied to each of their `leaves`."""

    def mapped(leaf: Any) -> Any:
        if isinstance(leaf, slice):
            return slice(function(leaf.start), function(leaf.stop), function(leaf.step))
        return function(leaf)

    return tree_map(mapped, arguments)


def operation_of(node: fx.Node, traced: fx.GraphModule) -> Any:
    """The module, function or method name that a node calls."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else node.target


def operation_name(node: fx.Node, traced: fx.GraphModule) -> str:
    """What a node calls and where, in words: `Softmax at 'head.3'`, `einsum at 'einsum_1' in 'encoder'`."""
    if node.op == "call_module":
        return f"{type(operation_of(node, traced)).__name__} at {str(node.target)!r}"
    function = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    function = f".{node.args[1]}" if node.target is getattr else function
    place = module_path(node)
    return f"{function} at {node.name!r}" + (f" in {place!r}" if place else "")


def module_path(node: fx.Node) -> str:
    """Dotted name of the module whose forward makes the call; empty for the network itself."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


class _Tracer(fx.Tracer):
    def __init__(self, shape: torch.Size, traces_buffers: bool = False) -> None:
        super().__init__(param_shapes_constant=True)
        self.shape = shape
        self.traces_buffers = traces_buffers

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """The input alone: everything else has its default."""
        node = self.create_node("placeholder", "input", (), {})
        return root_fn, [self.root, _InputProxy(self, node, self.shape)]

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        if not self.traces_buffers or not isinstance(attr_val, Tensor) or isinstance(attr_val, nn.Parameter):
            return super().getattr(attr, attr_val, parameter_proxy_cache)
        node = self.create_arg(attr_val)
        assert isinstance(node, fx.Node)
        return parameter_proxy_cache.setdefault(str(node.target), _BufferProxy(self, node, attr_val))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, nn.TransformerEncoder | nn.TransformerEncoderLayer | nn.GLU):
            return False
        return super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(m, nn.TransformerEncoderLayer):
            forward = partial(_encoder_layer, m)
        elif isinstance(m, nn.TransformerEncoder):
            forward = partial(_encoder, m)
        return super().call_module(m, forward, args, kwargs)


class _InputProxy(fx.Proxy):
    """The input in the trace, of which all sizes but the number of samples are known."""

    def __init__(self, tracer: fx.Tracer, node: fx.Node, shape: torch.Size):
        super().__init__(node, tracer)
        self._sizes = tuple(shape[1:])

    @property
    def shape(self) -> tuple[Any, ...]:
        return (self.tracer.create_proxy("call_method", "size", (self, 0), {}), *self._sizes)

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    @property
    def ndim(self) -> int:
        return 1 + len(self._sizes)

    def dim(self) -> int:
        return self.ndim


class _BufferProxy(ParameterProxy):
    """A buffer in the trace, whose shape is known."""

    def __init__(self, tracer: fx.Tracer, node: fx.Node, buffer: Tensor):
        fx.Proxy.__init__(self, node, tracer)
        self.param = buffer  # type: ignore[assignment]
        self.name = str(node.target)


_PLACES: dict[Any, tuple[str, ...]] = {torch.where: ("condition", "input", "other")}
_MAXIMA = (torch.max, "max")
_PRODUCTS = (operator.mul, torch.mul, torch.multiply, "mul", "multiply")


def _rewrite(graph: fx.Graph) -> None:
    """What an operation reads is not named but first; a tensor times itself is a square, the largest along a dimension
    `amax`, `glu` a product."""
    for node in list(graph.nodes):
        for place, name in enumerate(_PLACES.get(node.target, ("input", "other"))):
            if name in node.kwargs and len(node.args) == place:
                value = node.kwargs[name]
                node.kwargs = {key: other for key, other in node.kwargs.items() if key != name}
                node.args = (*node.args, value)
        if node.target in _PRODUCTS and len(node.args) > 1 and node.args[0] is node.args[1]:
            node.op, node.target, node.args = "call_function", torch.square, node.args[:1]
        elif node.target in _MAXIMA:
            _rewrite_maximum(graph, node)
        elif node.target is nn.functional.glu:
            _rewrite_gate(graph, node)
    graph.lint()


def _rewrite_maximum(graph: fx.Graph, node: fx.Node) -> None:
    """`h.max(dim).values`, of which nobody reads the indices."""
    given = dict(zip(("input", "dim", "keepdim"), node.args, strict=False)) | node.kwargs
    if not isinstance(given.get("dim"), int):
        return
    for user in [user for user in node.users if not user.users and user.op == "call_function"]:
        graph.erase_node(user)
    if not all(user.target in (operator.getitem, getattr) and user.args[1] in (0, "values") for user in node.users):
        return
    with graph.inserting_before(node):
        largest = graph.call_function(torch.amax, (given["input"], given["dim"], given.get("keepdim", False)))
    largest.meta = dict(node.meta)
    for user in list(node.users):
        user.replace_all_uses_with(largest)
        graph.erase_node(user)
    graph.erase_node(node)


def _rewrite_gate(graph: fx.Graph, node: fx.Node) -> None:
    """`glu`: one half times the sigmoid of the other."""
    given = dict(zip(("input", "dim"), node.args, strict=False)) | node.kwargs
    with graph.inserting_before(node):
        halves = graph.call_method("chunk", (given["input"], 2, given.get("dim", -1)))
        first, second = (graph.call_function(operator.getitem, (halves, place)) for place in (0, 1))
        gate = graph.call_function(torch.sigmoid, (second,))
        product = graph.call_function(operator.mul, (first, gate))
    product.meta = dict(node.meta)
    node.replace_all_uses_with(product)
    graph.erase_node(node)


def _encoder_layer(
    layer: nn.TransformerEncoderLayer,
    src: Any,
    src_mask: Any = None,
    src_key_padding_mask: Any = None,
    is_causal: bool = False,
) -> Any:
    """`TransformerEncoderLayer.forward` without its fast path."""
    if layer.norm_first:
        src = src + layer._sa_block(layer.norm1(src), src_mask, src_key_padding_mask, is_causal)
        return src + layer._ff_block(layer.norm2(src))
    src = layer.norm1(src + layer._sa_block(src, src_mask, src_key_padding_mask, is_causal))
    return layer.norm2(src + layer._ff_block(src))


def _encoder(
    encoder: nn.TransformerEncoder,
    src: Any,
    mask: Any = None,
    src_key_padding_mask: Any = None,
    is_causal: bool | None = None,
) -> Any:
    """`TransformerEncoder.forward` without its fast path."""
    for layer in encoder.layers:
        src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=bool(is_causal))
    return src if encoder.norm is None else encoder.norm(src)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
