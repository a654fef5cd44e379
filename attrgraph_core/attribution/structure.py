"""What of a network can become an attribution graph: its weighted layers, and what joins them.

The network is traced by `torch.fx`, so that every call is seen, functional ones and repeated modules included. Here a
network is a chain: each weighted layer (`Linear`, `Conv2d`) takes the neurons of the one before it through operations
that keep every channel to itself. Anything else would give a graph that is silently wrong, and is refused by name.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError

WEIGHTED = (nn.Linear, nn.Conv2d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)
ELEMENTWISE_MODULES = (
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Softsign,
)  # fmt: skip
ELEMENTWISE_FUNCTIONS: frozenset[Any] = frozenset(
    {torch.relu, torch.tanh, torch.sigmoid, functional.relu, functional.leaky_relu, functional.relu6, functional.elu,
     functional.selu, functional.gelu, functional.silu, functional.softplus, functional.tanh, functional.sigmoid,
     "relu", "tanh", "sigmoid"}
)  # fmt: skip
MAX_POOLS = (nn.MaxPool2d,)
MAX_POOL_FUNCTIONS: frozenset[Any] = frozenset({functional.max_pool2d, torch.max_pool2d})
LINEAR_MODULES = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
LINEAR_FUNCTIONS: frozenset[Any] = frozenset(
    {torch.flatten, functional.dropout, functional.avg_pool2d, functional.adaptive_avg_pool2d,
     "flatten", "view", "reshape", "contiguous"}
)  # fmt: skip
SHAPE_FUNCTIONS: frozenset[Any] = frozenset({"size", "dim", getattr, operator.getitem})


@dataclass(frozen=True)
class WeightedLayer:
    """One `Linear` or `Conv2d`: its name in the model, its node in the trace, and the layer its neurons read from."""

    name: str
    module: nn.Linear | nn.Conv2d
    node: fx.Node
    source: str

    @property
    def width(self) -> int:
        """How many neurons: units of a linear layer, channels of a convolution."""
        return self.module.out_features if isinstance(self.module, nn.Linear) else self.module.out_channels


@dataclass(frozen=True)
class NetworkStructure:
    """A traced network and its weighted layers, from the input to the output."""

    traced: fx.GraphModule
    layers: tuple[WeightedLayer, ...]

    @property
    def output_layer(self) -> WeightedLayer:
        return self.layers[-1]

    def kind(self, layer: WeightedLayer) -> str:
        if layer is self.output_layer:
            return "output"
        return "unit" if isinstance(layer.module, nn.Linear) else "channel"


class _Tracer(fx.Tracer):
    """Traces into everything but PyTorch's own modules."""


def operation_of(node: fx.Node, traced: fx.GraphModule) -> Any:
    """The module, function or method name that a node of the trace calls."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else node.target


def is_elementwise(operation: Any) -> bool:
    return isinstance(operation, ELEMENTWISE_MODULES) or _among(operation, ELEMENTWISE_FUNCTIONS)


def is_max_pool(operation: Any) -> bool:
    return isinstance(operation, MAX_POOLS) or _among(operation, MAX_POOL_FUNCTIONS)


def is_shape_arithmetic(operation: Any) -> bool:
    return _among(operation, SHAPE_FUNCTIONS)


def network_structure(model: nn.Module) -> NetworkStructure:
    """Trace `model` and return its chain of weighted layers.

    Raises AttrGraphError, naming the operation, where the network cannot be traced, is not a chain, reuses a weighted
    layer, or passes neurons through something that mixes channels or has no known rule.
    """
    traced = _trace(model)
    layers: list[WeightedLayer] = []
    source = "input"
    for node in _chain(traced):
        operation = operation_of(node, traced)
        if not isinstance(operation, WEIGHTED):
            _check_passes(node, operation)
            continue
        name = str(node.target)
        if any(layer.module is operation for layer in layers):
            raise AttrGraphError(f"layer {name!r} is used more than once; a neuron must stand for one place")
        layers.append(WeightedLayer(name, operation, node, source))
        source = name
    if not layers:
        raise AttrGraphError(f"{type(model).__name__} has no Linear or Conv2d layer, so it has no neurons to join")
    _check_widths(layers)
    return NetworkStructure(traced, tuple(layers))


def _trace(model: nn.Module) -> fx.GraphModule:
    try:
        tracer = _Tracer()
        return fx.GraphModule(model, tracer.trace(model))
    except Exception as error:
        raise AttrGraphError(
            f"{type(model).__name__} cannot be traced by torch.fx ({error}); its forward must not branch on values"
        ) from error


def _chain(traced: fx.GraphModule) -> list[fx.Node]:
    """The operations from the input to the output; AttrGraphError where the path splits or joins."""
    placeholders = [node for node in traced.graph.nodes if node.op == "placeholder"]
    if len([node for node in placeholders if not node.args]) != 1:
        raise AttrGraphError(f"the network must take one input, not {len(placeholders)}")
    chain: list[fx.Node] = []
    node = placeholders[0]
    while True:
        following = [user for user in node.users if not _is_shape_node(user, traced)]
        if len(following) != 1:
            names = ", ".join(user.name for user in following) or "nothing"
            raise AttrGraphError(
                f"the output of {_describe(node, traced)} goes to {names}; "
                "only chains of layers have a graph yet, not branches or skip connections"
            )
        node = following[0]
        if node.op == "output":
            if node.args[0] is not (chain[-1] if chain else None):
                raise AttrGraphError("the network must return one tensor of class scores")
            return chain
        chain.append(node)


def _is_shape_node(node: fx.Node, traced: fx.GraphModule) -> bool:
    operation = operation_of(node, traced) if node.op.startswith("call") else None
    if operation in ("size", "dim"):
        return True
    if operation is getattr:
        return node.args[1] in ("shape", "ndim")
    return operation is operator.getitem and isinstance(node.args[0], fx.Node) and _is_shape_node(node.args[0], traced)


def _check_passes(node: fx.Node, operation: Any) -> None:
    known = (
        is_elementwise(operation)
        or is_max_pool(operation)
        or isinstance(operation, (*LINEAR_MODULES, *NORMALISATIONS))
        or _among(operation, LINEAR_FUNCTIONS)
    )
    if not known:
        name = type(operation).__name__ if isinstance(operation, nn.Module) else _function_name(operation)
        raise AttrGraphError(
            f"no rule is known for {name} at {node.target if node.op == 'call_module' else node.name!r}; known between "
            "layers are elementwise activations, 2-d pooling, flatten, dropout, identity and batch normalisation"
        )
    if isinstance(operation, NORMALISATIONS) and operation.running_mean is None:
        raise AttrGraphError(f"{node.target!r} keeps no running statistics, so its samples depend on each other")


def _check_widths(layers: list[WeightedLayer]) -> None:
    widths = {layer.name: layer.width for layer in layers}
    for layer in layers:
        if layer.source == "input":
            continue
        expected = widths[layer.source]
        taken = layer.module.in_features if isinstance(layer.module, nn.Linear) else layer.module.in_channels
        exact = isinstance(layer.module, nn.Conv2d)
        if (exact and taken != expected) or taken % expected:
            raise AttrGraphError(
                f"layer {layer.name!r} takes {taken} inputs, which are not whole groups of the {expected} neurons of "
                f"{layer.source!r}"
            )


def _among(operation: Any, known: frozenset[Any]) -> bool:
    return not isinstance(operation, nn.Module) and operation in known


def _describe(node: fx.Node, traced: fx.GraphModule) -> str:
    return "the input" if node.op == "placeholder" else repr(str(node.target if node.op == "call_module" else node))


def _function_name(operation: Callable[..., Any] | str) -> str:
    return operation if isinstance(operation, str) else getattr(operation, "__name__", str(operation))
