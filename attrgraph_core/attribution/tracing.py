"""The operations of a network in order, by `torch.fx`: every call is seen, functional ones included.

PyTorch's own modules stay whole, but for transformer encoders, whose forward branches on values to choose a fast path:
they are traced by what they compute without it.
"""

from functools import partial
from typing import Any

from torch import fx, nn

from attrgraph_core.errors import AttrGraphError

_WRAPPERS = {  # what a user has in hand after torch.compile, jit.script and the like
    "OptimizedModule": "model._orig_mod",
    "DataParallel": "model.module",
    "DistributedDataParallel": "model.module",
    "RecursiveScriptModule": "the one before torch.jit.script",
}


def trace(model: nn.Module) -> fx.GraphModule:
    """The traced network, in the mode that `model` is in. Raises AttrGraphError where it cannot be traced."""
    if (inner := _WRAPPERS.get(type(model).__name__)) is not None:
        raise AttrGraphError(f"{type(model).__name__} hides the network that it wraps; give the network: {inner}")
    tracer = _Tracer()
    if tracer.is_leaf_module(model, ""):
        raise AttrGraphError(
            f"{type(model).__name__} alone is a layer without a network around it; give nn.Sequential(layer)"
        )
    try:
        return fx.GraphModule(model, tracer.trace(model))
    except Exception as error:
        raise AttrGraphError(
            f"{type(model).__name__} cannot be traced by torch.fx ({_first_line(error)}); its forward must not branch "
            "on values or on what isinstance says of them"
        ) from error


def operation_of(node: fx.Node, traced: fx.GraphModule) -> Any:
    """The module, function or method name that a node calls."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else node.target


def operation_name(node: fx.Node, traced: fx.GraphModule) -> str:
    """What a node calls and where, in words: `Softmax at 'head.3'`, `einsum at 'einsum_1' in 'encoder'`."""
    if node.op == "call_module":
        return f"{type(operation_of(node, traced)).__name__} at {str(node.target)!r}"
    function = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    place = module_path(node)
    return f"{function} at {node.name!r}" + (f" in {place!r}" if place else "")


def module_path(node: fx.Node) -> str:
    """Dotted name of the module whose forward makes the call; empty for the network itself."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


class _Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__(param_shapes_constant=True)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, nn.TransformerEncoder | nn.TransformerEncoderLayer):
            return False
        return super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(m, nn.TransformerEncoderLayer):
            forward = partial(_encoder_layer, m)
        elif isinstance(m, nn.TransformerEncoder):
            forward = partial(_encoder, m)
        return super().call_module(m, forward, args, kwargs)


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
