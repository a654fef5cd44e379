"""DeepLIFT's rescale rule for one operation: its value, with the multiplier in the place of the derivative."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.attribution.given_derivative import with_derivative

SMALLEST_DIFFERENCE = 1e-10  # Captum's; below it the multiplier is the derivative


def rescale(function: Callable[[Tensor], Tensor], values: Tensor, baseline: Tensor) -> Tensor:
    """`function(values)`, whose derivative is `(f(x) - f(x')) / (x - x')` relative to `baseline`.

    `function` must not work in place.
    """
    outer = values.detach()
    with torch.no_grad():
        output = function(outer)
        difference = outer - baseline
        slope = (output - function(baseline)) / difference
        tiny = difference.abs() < SMALLEST_DIFFERENCE
        if bool(tiny.any()):
            slope = torch.where(tiny, _derivative(function, outer), slope)
    return with_derivative(output, (values, slope))


def _derivative(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = values.clone().requires_grad_()
        (derivative,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return derivative


def rescale_product(first: Tensor, second: Tensor, first_baseline: Tensor, second_baseline: Tensor) -> Tensor:
    """`first * second`, whose derivative by one factor is the mean of the other and its baseline.

    `Δ(ab) = Δa (b + b')/2 + Δb (a + a')/2` exactly: the Shapley value of a product.
    """
    one, other = first.detach(), second.detach()
    by_first = (other + second_baseline) / 2 * (first - one)
    by_second = (one + first_baseline) / 2 * (second - other)
    return one * other + by_first + by_second


def rescale_max_pool(values: Tensor, baseline: Tensor, settings: dict[str, Any], is_adaptive: bool = False) -> Tensor:
    """A max pooling, whose derivative shares each window's difference between the two winners.

    As in Captum, the rise of the output is credited to the winner of the input, its fall to the winner of the baseline.
    """
    function = _max_pool_with_indices(values.dim() - 2, is_adaptive)
    return _rescale_largest(values, baseline, lambda own: function(own, **settings))


def rescale_maximum(values: Tensor, baseline: Tensor, dimensions: int | Sequence[int]) -> Tensor:
    """The largest along dimensions by the rule of a max pooling, (samples, all others)."""
    of = (dimensions,) if isinstance(dimensions, int) else tuple(dimensions)
    row = math.prod(values.shape[place] for place in of)

    def in_rows(own: Tensor) -> Tensor:
        return own.movedim(of, tuple(range(-len(of), 0))).flatten(-len(of)).reshape(len(own), -1, row)

    return _rescale_largest(in_rows(values), in_rows(baseline), lambda own: own.max(dim=2, keepdim=True)).flatten(1)


def _rescale_largest(values: Tensor, baseline: Tensor, function: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    outer = values.detach()
    baseline = baseline.expand_as(outer)
    output, winners = function(outer)
    baseline_output, baseline_winners = function(baseline)
    difference = (outer - baseline).flatten(2)
    larger = torch.maximum(output, baseline_output)
    change = (values - outer).flatten(2)

    def passed(indices: Tensor, share: Tensor, at_zero: float) -> Tensor:
        flat = indices.flatten(2)
        at_winner = difference.gather(2, flat)
        tiny = at_winner.abs() < SMALLEST_DIFFERENCE
        slope = torch.where(tiny, at_zero, share.flatten(2) / torch.where(tiny, 1.0, at_winner))
        return (slope * change.gather(2, flat)).reshape(output.shape)

    return output + passed(winners, larger - baseline_output, 1.0) + passed(baseline_winners, output - larger, 0.0)


def _max_pool_with_indices(dimensions: int, is_adaptive: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    name = f"{'adaptive_' if is_adaptive else ''}max_pool{dimensions}d_with_indices"
    return getattr(functional, name)


def max_pool_settings(operation: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a max pooling by name, without its input."""
    names: tuple[str, ...] = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    if isinstance(operation, nn.Module):
        names = ("output_size",) if hasattr(operation, "output_size") else names
        return {name: getattr(operation, name) for name in names}
    if is_adaptive_max_pool(operation):
        names = ("output_size",)
    given = dict(zip(names, arguments[1:], strict=False)) | keywords
    return {name: given[name] for name in names if name in given}


def is_adaptive_max_pool(operation: Any) -> bool:
    return hasattr(operation, "output_size") or "adaptive" in getattr(operation, "__name__", "")
