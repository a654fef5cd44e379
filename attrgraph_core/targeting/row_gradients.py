"""The layers' own computation with a backward pass of the active rows alone.

For z = x Wᵀ + b and the active rows A, backward computes dL/dW_A = (dL/dz_A)ᵀ x and dL/db_A = Σ dL/dz_A, and of
dL/dx = (dL/dz) W the columns that are read (see `needed_columns`). A convolution does the same with channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Plan:
    """What of a layer trains: `rows` None is all; `weight_sizes`, `bias_sizes` are rows of each leaf, of no leaf: ().

    `columns` are the input columns of the weight that train, None for all of them.
    """

    rows: Tensor | None
    weight_sizes: tuple[int, ...]
    bias_sizes: tuple[int, ...]
    columns: Tensor | None = None
    is_convolution: bool = False

    def channel_dim(self, dimensions: int) -> int:
        return 1 if self.is_convolution else dimensions - 1

    @property
    def leaf_count(self) -> int:
        return len(self.weight_sizes) + len(self.bias_sizes)


@dataclass(frozen=True, eq=False)
class NeededInput:
    """The columns of a layer's input whose gradient is read, and the weight's columns beside them."""

    columns: Tensor
    weight: Tensor


class LinearRows(torch.autograd.Function):
    """`functional.linear`; its gradients go to the leaves, given after the plan: weights first, then biases."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan, needed: NeededInput | None,
        *leaves: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.plan, ctx.needed, ctx.width = plan, needed, input.shape[-1]
        ctx.types = [leaf.dtype for leaf in leaves]
        kept = input if plan.columns is None else input.index_select(-1, plan.columns)
        reads = ctx.needs_input_grad[0]
        ctx.save_for_backward(
            kept if plan.weight_sizes else None, (needed.weight if needed else weight) if reads else None
        )
        return functional.linear(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        plan: Plan = ctx.plan
        kept, weight = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        input_gradient = None
        if ctx.needs_input_grad[0]:
            partial = (flat @ weight).reshape(*gradient.shape[:-1], weight.shape[1])
            input_gradient = _spread(partial, -1, ctx.width, ctx.needed)
        active = flat if plan.rows is None or not plan.leaf_count else flat.index_select(1, plan.rows)
        gradients: list[Tensor] = []
        if plan.weight_sizes:
            gradients += (active.t() @ kept.reshape(-1, kept.shape[-1])).split(plan.weight_sizes)
        if plan.bias_sizes:
            gradients += active.sum(dim=0).split(plan.bias_sizes)
        return (input_gradient, None, None, None, None, *_typed(gradients, ctx.types))


@dataclass(frozen=True)
class Geometry:
    """How a convolution moves over its input."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def arguments(self, groups: int | None = None) -> tuple[Any, ...]:
        nothing = [0] * len(self.stride)
        return self.stride, self.padding, self.dilation, False, nothing, groups or self.groups


@dataclass(frozen=True, eq=False)
class GroupedRows:
    """Active rows of a convolution in groups, as a smaller one: the same number of rows of each group that has some.

    `inputs` are the channels read; `rows` (groups * most,) those of each group, filled up with its first; `chosen` are
    the places of the plan's rows among them.
    """

    inputs: Tensor
    rows: Tensor
    chosen: Tensor
    groups: int

    @staticmethod
    def of(rows: Tensor, width: int, groups: int, channels_per_group: int) -> "GroupedRows":
        by_group: dict[int, list[int]] = {}
        for row in rows.tolist():
            by_group.setdefault(row // (width // groups), []).append(row)
        most = max(map(len, by_group.values()))
        filled = [row for own in by_group.values() for row in own + [own[0]] * (most - len(own))]
        places: dict[int, int] = {}
        for place, row in enumerate(filled):
            places.setdefault(row, place)
        channels = [group * channels_per_group + channel for group in by_group for channel in range(channels_per_group)]

        def index(values: list[int]) -> Tensor:
            return torch.tensor(values, device=rows.device)

        return GroupedRows(index(channels), index(filled), index([places[row] for row in rows.tolist()]), len(by_group))


@dataclass(frozen=True, eq=False)
class ConvolutionPlan(Plan):
    """A plan of the channels of a convolution."""

    geometry: Geometry = Geometry((), (), (), 1)
    channels_per_group: int = 1
    width: int = 1

    @cached_property
    def grouped(self) -> GroupedRows | None:
        if self.rows is None or self.geometry.groups == 1:
            return None
        return GroupedRows.of(self.rows, self.width, self.geometry.groups, self.channels_per_group)


class ConvolutionRows(torch.autograd.Function):
    """`torch.convolution` of a batch; leaves as with `LinearRows`."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, plan: ConvolutionPlan,
        needed: NeededInput | None, *leaves: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.plan, ctx.needed, ctx.input_shape, ctx.weight_shape = plan, needed, input.shape, weight.shape
        ctx.types = [leaf.dtype for leaf in leaves]
        kept = input if plan.columns is None else input.index_select(1, plan.columns)
        reads = ctx.needs_input_grad[0]
        ctx.save_for_backward(
            kept if plan.weight_sizes else None, (needed.weight if needed else weight) if reads else None
        )
        return torch.convolution(input, weight, bias, *plan.geometry.arguments())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        plan: ConvolutionPlan = ctx.plan
        kept, weight = ctx.saved_tensors
        reads = ctx.needs_input_grad[0]
        if reads and plan.weight_sizes and plan.rows is None and plan.columns is None and ctx.needed is None:
            input_gradient, weight_gradient, _ = _convolution_backward(
                gradient, kept, weight, plan.geometry.arguments(), True, True
            )
            active = gradient
        else:
            input_gradient = _convolution_input_gradient(ctx, gradient, weight) if reads else None
            active = gradient if plan.rows is None or not plan.leaf_count else gradient.index_select(1, plan.rows)
            weight_gradient = _convolution_weight_gradient(ctx, gradient, active, kept) if plan.weight_sizes else None
        gradients: list[Tensor] = []
        if weight_gradient is not None:
            gradients += weight_gradient.split(plan.weight_sizes)
        if plan.bias_sizes:
            gradients += active.sum(dim=[dim for dim in range(active.dim()) if dim != 1]).split(plan.bias_sizes)
        return (input_gradient, None, None, None, None, *_typed(gradients, ctx.types))


def _convolution_input_gradient(ctx: Any, gradient: Tensor, weight: Tensor) -> Tensor:
    channels = weight.shape[1] if ctx.needed else ctx.input_shape[1]
    # The values of the input do not matter here, only its shape: it is not kept.
    shape_only = gradient.new_empty(1).expand(ctx.input_shape[0], channels, *ctx.input_shape[2:])
    arguments = ctx.plan.geometry.arguments()
    partial, _, _ = _convolution_backward(gradient, shape_only, weight, arguments, True, False)
    return _spread(partial, 1, ctx.input_shape[1], ctx.needed)


def _convolution_weight_gradient(ctx: Any, gradient: Tensor, active: Tensor, kept: Tensor) -> Tensor:
    """Gradient of the plan's rows, in their order; `active` is the output's gradient at them."""
    plan: ConvolutionPlan = ctx.plan
    grouped = plan.grouped
    groups = plan.geometry.groups if grouped is None else grouped.groups
    active = active if grouped is None else gradient.index_select(1, grouped.rows)
    inputs = kept if grouped is None else kept.index_select(1, grouped.inputs)
    columns = ctx.weight_shape[1] if plan.columns is None else len(plan.columns)
    shape_only = gradient.new_empty(1).expand(active.shape[1], columns, *ctx.weight_shape[2:])
    arguments = plan.geometry.arguments(groups)
    _, weight_gradient, _ = _convolution_backward(active, inputs, shape_only, arguments, False, True)
    return weight_gradient if grouped is None else weight_gradient.index_select(0, grouped.chosen)


def _convolution_backward(
    gradient: Tensor, input: Tensor, weight: Tensor, arguments: tuple[Any, ...], of_input: bool, of_weight: bool
) -> Any:
    return torch.ops.aten.convolution_backward(gradient, input, weight, None, *arguments, [of_input, of_weight, False])


class EmbeddingFeatures(torch.autograd.Function):
    """`functional.embedding`; the leaves are features (features, entries): rows of the transposed table."""

    @staticmethod
    def forward(
        ctx: Any, indices: Tensor, weight: Tensor, padding_index: int, scale_by_frequency: bool, plan: Plan,
        *leaves: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.plan, ctx.entries, ctx.types = plan, len(weight), [leaf.dtype for leaf in leaves]
        ctx.padding_index, ctx.scale_by_frequency = padding_index, scale_by_frequency
        ctx.save_for_backward(indices)
        return functional.embedding(indices, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        plan: Plan = ctx.plan
        (indices,) = ctx.saved_tensors
        active = gradient.index_select(-1, plan.rows) if plan.rows is not None else gradient
        table = torch.ops.aten.embedding_dense_backward(
            active.contiguous(), indices, ctx.entries, ctx.padding_index, ctx.scale_by_frequency
        )
        parts = table.t().contiguous().split(plan.weight_sizes)
        return (None, None, None, None, None, *_typed(list(parts), ctx.types))


def _spread(partial: Tensor, dim: int, width: int, needed: NeededInput | None) -> Tensor:
    """The gradient with zeros in the columns that nobody reads."""
    if needed is None:
        return partial
    shape = list(partial.shape)
    shape[dim] = width
    return partial.new_zeros(shape).index_copy_(dim, needed.columns, partial)


def _typed(gradients: Sequence[Tensor], types: Sequence[torch.dtype]) -> list[Tensor]:
    """Under autocast a gradient comes in the lower precision; a leaf takes its own."""
    return [gradient.to(dtype) for gradient, dtype in zip(gradients, types, strict=True)]
