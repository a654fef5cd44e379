"""What is known of the operations between weighted layers: which kind each is, and by which rule it is passed.

| kind | what it does | what a neuron becomes |
|---|---|---|
| weighted | `Linear`, `Conv*`, `ConvTranspose*`: has neurons of its own | read by the layer's edges |
| embedding | a table's row a token: has neurons of its own | read by the layer's edges |
| attention | `nn.MultiheadAttention`: heads and its output projection | read through the value path |
| elementwise | an activation | itself |
| max_pool | the largest of a window or of a dimension | itself, where a window holds one neuron only |
| linear | moves, averages, scales: `view`, `cat`, pooling, dropout in evaluation | itself, as long as no two mix |
| affine | batch normalisation in evaluation, a constant added: linear with a shift | itself |
| normalise | `LayerNorm`, `GroupNorm`, `InstanceNorm`, `RMSNorm`: scale by the sample's own statistics | itself |
| add, multiply | two tensors of neurons joined | read by a junction, which has neurons of its own |
| softmax | weights of attention, from whatever | nothing: weights are context |
| attend | tokens averaged by such weights | itself |
| choose | `masked_fill`, `where`: one or the other by a mask that no neuron reaches | itself |
| context | a mask made of tokens, and what is made of it | nothing: it is held at what it is for the input |
| constant | what no input reaches: arithmetic on shapes, parameters | nothing |
"""

import operator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

WEIGHTED = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
BATCH_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
STATISTICS_NORMALISATIONS: tuple[type[nn.Module], ...] = (
    nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
LARGEST = (torch.amax, "amax")
ADAPTIVE_MAX_POOLS = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)

_MODULE_KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "weighted": WEIGHTED,
    "embedding": (nn.Embedding,),
    "attention": (nn.MultiheadAttention,),
    "elementwise": (
        nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh,
        nn.Softplus, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Softsign, nn.PReLU, nn.Tanhshrink,
    ),
    "max_pool": (*MAX_POOLS, *ADAPTIVE_MAX_POOLS),
    "linear": (
        nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
        nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
        nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
        nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d, nn.ReplicationPad1d, nn.ReplicationPad2d,
        nn.ReplicationPad3d, nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d, nn.ChannelShuffle,
        nn.PixelShuffle, nn.PixelUnshuffle,
    ),
    "affine": BATCH_NORMALISATIONS,
    "normalise": STATISTICS_NORMALISATIONS,
    "softmax": (nn.Softmax,),
}  # fmt: skip

_FUNCTION_KINDS: dict[str, frozenset[Any]] = {
    "elementwise": frozenset({
        torch.relu, torch.tanh, torch.sigmoid, functional.relu, functional.leaky_relu, functional.relu6,
        functional.elu, functional.celu, functional.selu, functional.gelu, functional.silu, functional.mish,
        functional.softplus, functional.tanh, functional.sigmoid, functional.hardtanh, functional.hardswish,
        functional.hardsigmoid, functional.logsigmoid, functional.softsign, torch.exp, torch.clamp,
        torch.abs, torch.square, torch.sqrt, torch.neg, torch.pow, operator.neg, operator.pow, operator.abs,
        torch.clamp_min, torch.clamp_max, torch.maximum, torch.minimum,
        "relu", "relu_", "tanh", "sigmoid", "exp", "clamp", "abs", "square", "sqrt", "neg", "pow",
        "clamp_min", "clamp_max", "maximum", "minimum",
    }),
    "max_pool": frozenset({
        functional.max_pool1d, functional.max_pool2d, functional.max_pool3d, torch.max_pool1d, torch.max_pool2d,
        torch.max_pool3d, functional.adaptive_max_pool1d, functional.adaptive_max_pool2d,
        functional.adaptive_max_pool3d, *LARGEST,
    }),
    "choose": frozenset({torch.where, torch.masked_fill, "where", "masked_fill", "masked_fill_"}),
    "linear": frozenset({
        torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.squeeze, torch.unsqueeze, torch.cat,
        torch.concat, torch.stack, torch.chunk, torch.split, torch.unbind, torch.mean, torch.sum, torch.narrow,
        torch.select, torch.index_select, torch.flip, torch.roll, torch.movedim, torch.swapaxes,
        functional.dropout, functional.dropout2d, functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d,
        functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d,
        functional.interpolate, functional.pad, functional.pixel_shuffle, functional.pixel_unshuffle,
        operator.getitem,
        "flatten", "view", "reshape", "contiguous", "permute", "transpose", "squeeze", "unsqueeze", "chunk", "split",
        "unbind", "mean", "sum", "narrow", "select", "expand", "expand_as", "repeat", "flip", "roll", "movedim",
        "swapaxes", "clone", "unflatten", "view_as", "reshape_as", "float", "to", "type_as",
        "dropout", "stochastic_depth",
    }),
    "normalise": frozenset({functional.layer_norm, functional.group_norm, functional.rms_norm}),
    "add": frozenset({operator.add, operator.iadd, operator.sub, operator.isub, torch.add, torch.sub, "add", "add_",
                      "sub"}),
    "multiply": frozenset({operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_", "multiply"}),
    "divide": frozenset({operator.truediv, torch.div, "div"}),
    "softmax": frozenset({functional.softmax, torch.softmax, "softmax"}),
    "attend": frozenset({torch.matmul, torch.bmm, operator.matmul, "matmul", "bmm",
                         functional.scaled_dot_product_attention}),
}  # fmt: skip

_HOMOGENEOUS_MODULES = (nn.ReLU, nn.LeakyReLU, nn.PReLU)
_HOMOGENEOUS_FUNCTIONS = (torch.relu, functional.relu, functional.leaky_relu, "relu", "relu_")

_OF_SHAPES = frozenset({  # whose result depends on the shape and the kind of a tensor only
    "size", "dim", "numel", "nelement", "ndimension", "stride", "__len__", len, "get_device", "element_size", "type",
    "is_floating_point", "is_contiguous", "is_complex", "new_zeros", "new_ones", "new_full", "new_empty",
    torch.zeros_like, torch.ones_like, torch.full_like, torch.empty_like, torch.numel, torch.is_floating_point,
})  # fmt: skip
TAKING_A_SHAPE = ("expand_as", "view_as", "reshape_as", "type_as", "to")  # or a precision, from their second argument


def operation_kind(operation: Any) -> str | None:
    """The kind of a module, function or method name, as far as the operation alone tells; None where none is known."""
    if isinstance(operation, nn.Module):
        return next((kind for kind, modules in _MODULE_KINDS.items() if isinstance(operation, modules)), None)
    if operation in _OF_SHAPES:
        return "constant"
    known = next((kind for kind, functions in _FUNCTION_KINDS.items() if operation in functions), None)
    if known is None and getattr(operation, "__name__", "") == "stochastic_depth":  # torchvision's, wrapped for fx
        return "linear"
    return known


def is_scaled_dot_product(operation: Any) -> bool:
    return operation is functional.scaled_dot_product_attention


def is_homogeneous(operation: Any) -> bool:
    """Whether an activation is linear on either side of zero, `f(cz) = c f(z)` for c > 0, so that `f(z) = z f'(z)`."""
    return isinstance(operation, _HOMOGENEOUS_MODULES) or operation in _HOMOGENEOUS_FUNCTIONS
