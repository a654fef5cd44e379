"""Which columns of a layer's input gradient are read by anybody.

Below the lowest trained layer nothing needs a gradient, and of that layer's own output only the active neurons' is
read: the layers above it may leave the other columns of dL/dx out. Which these are is asked of autograd's own graph,
step by step, from the tensor that a layer is about to read: through operations that keep every neuron to itself (ReLU,
dropout, batch normalisation, pooling, flattening, sums) down to layers that read nothing that trains. Any other
operation on the way, or anything else that wants a gradient, and all columns are computed.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

ELEMENTWISE = frozenset(
    f"{name}Backward{number}"
    for name in (
        "Relu", "Threshold", "Gelu", "Silu", "Mish", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Hardtanh", "Softplus",
        "Hardswish", "Hardsigmoid", "LogSigmoid", "Exp", "Log", "Abs", "Neg", "Sqrt", "Pow", "Clamp", "ClampMin",
        "NativeDropout", "Add", "Sub", "Mul", "Div", "ToCopy", "Clone", "Alias",
    )
    for number in range(3)
)  # fmt: skip
NORMALISATIONS = frozenset({"NativeBatchNormBackward0", "CudnnBatchNormBackward0"})  # of dimension 1
RESHAPES = frozenset({"ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0"})
POOLINGS = frozenset(
    f"{name}Backward0"
    for name in (
        "MaxPool1D", "MaxPool2DWithIndices", "MaxPool3DWithIndices", "AvgPool1D", "AvgPool2D", "AvgPool3D",
        "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "AdaptiveMaxPool2D", "AdaptiveMaxPool3D",
    )
)  # fmt: skip
SPATIAL_MEAN = "MeanBackward1"
MOST_NODES = 32  # of the graph that are visited; what is farther away is rarely per neuron

Source = tuple[Any, int]  # the plan of a layer (see row_gradients) and how many columns each of its neurons has


def needed_sources(tensor: Tensor, channel_dim: int) -> tuple[Source, ...] | None:
    """The layers for whose active neurons alone the gradient of `tensor` is read; None where all of it is."""
    if tensor.grad_fn is None:
        return None
    sources: dict[Source, None] = {}
    waiting = [(tensor.grad_fn, tuple(tensor.shape), channel_dim, 1)]
    for _ in range(MOST_NODES):
        if not waiting:
            return tuple(sources) or None
        node, shape, dim, block = waiting.pop()
        own: Any = node
        plan = getattr(own, "plan", None)
        if plan is not None:
            if plan.rows is None or own.needs_input_grad[0] or plan.channel_dim(len(shape)) != dim:
                return None
            sources[plan, block] = None
            continue
        for below in _inputs(node):
            step = _through(node, shape, dim, block, below)
            if step is None:
                return None
            waiting.append((below, *step))
    return None


def columns_of(sources: tuple[Source, ...], width: int) -> Tensor | None:
    """The columns, in order, of what `needed_sources` gave; None where they are nearly all."""
    parts = [
        (plan.rows.unsqueeze(1) * block + torch.arange(block, device=plan.rows.device)).flatten()
        for plan, block in sources
    ]
    columns = torch.cat(parts).unique()
    return None if len(columns) > 0.9 * width else columns


def _inputs(node: Any) -> Iterator[Any]:
    return (below for below, _ in node.next_functions if below is not None)


def _through(node: Any, shape: tuple[int, ...], dim: int, block: int, below: Any) -> tuple[Any, ...] | None:
    """Shape, channel dimension and block of what `node` read from `below`; None where neurons are mixed."""
    metadata = getattr(below, "_input_metadata", None)
    if not metadata:
        return None
    name, before = node.name(), tuple(metadata[0].shape)
    if before == shape and (name in ELEMENTWISE or name in RESHAPES or (name in NORMALISATIONS and dim == 1)):
        return shape, dim, block
    if name in RESHAPES:
        flattens = len(shape) == 2 and dim == 1 and len(before) > 2 and before[0] == shape[0]
        if flattens and block == 1:
            return before, 1, shape[1] // before[1]
        return (before, len(before) - 1, block) if dim == len(shape) - 1 and before[-1:] == shape[-1:] else None
    if dim != 1 or len(before) < 3 or before[:2] != shape[:2]:
        return None
    if name in POOLINGS:
        return before, 1, block
    if name == SPATIAL_MEAN and all(_as_signed(axis) % len(before) >= 2 for axis in node._saved_dim):
        return before, 1, block
    return None


def _as_signed(axis: int) -> int:
    return axis - 2**64 if axis >= 2**63 else axis
