"""A value whose derivative is given, not derived: how a method passes an operation by a rule of its own."""

from typing import Any

import torch
from torch import Tensor


def with_derivative(output: Tensor, *pairs: tuple[Tensor, Tensor]) -> Tensor:
    """`output`, whose derivative by each tensor is the slope that stands beside it, element by element.

    `pairs` are (tensor, slope), all of the shape of `output`.
    """
    tensors, slopes = zip(*pairs, strict=True)
    result: Tensor = _GivenDerivative.apply(output, *slopes, *tensors)
    return result


class _GivenDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, *slopes_and_tensors: Tensor) -> Tensor:
        count = len(slopes_and_tensors) // 2
        ctx.save_for_backward(*slopes_and_tensors[:count])
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        slopes = ctx.saved_tensors
        return (None, *[None] * len(slopes), *(gradients[0] * slope for slope in slopes))
