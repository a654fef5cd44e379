"""Normalisation by a sample's own statistics, which a method can hold constant.

Held constant (as circuit tracing does: Ameisen et al., 2025; Ali et al., 2022, for LRP) a normalisation is linear in
its input but for a constant, and keeps every neuron to itself.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


def normalisation(operation: Any, arguments: Any, keywords: Any) -> "Normalisation":
    """What a call of a layer or group normalisation asks for."""
    values = arguments[0] if arguments else keywords["input"]
    if isinstance(operation, nn.LayerNorm | nn.RMSNorm):
        dims = _dims(values, tuple(operation.normalized_shape))
        bias = getattr(operation, "bias", None)
        is_centred = isinstance(operation, nn.LayerNorm)
        return Normalisation(values, dims, None, operation.weight, bias, operation.eps, is_centred)
    if isinstance(operation, nn.Module):  # group or instance normalisation, the latter with a group a channel
        groups: Any = getattr(operation, "num_groups", None) or operation.num_features
        given: Any = operation
        return Normalisation(values, None, groups, given.weight, given.bias, given.eps, True)
    names = {
        "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
        "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
        "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    }[operation.__name__]
    named = dict(zip(names, arguments, strict=False)) | keywords
    eps = named.get("eps", 1e-5)
    over = _dims(values, tuple(named["normalized_shape"])) if "normalized_shape" in named else None
    return Normalisation(
        values, over, named.get("num_groups"), named.get("weight"), named.get("bias"), eps,
        operation.__name__ != "rms_norm",
    )  # fmt: skip


def _dims(values: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(values.dim() - len(shape), values.dim()))


@dataclass(frozen=True, eq=False)
class Normalisation:
    """`γ (x - μ) / σ + β`, with the statistics of each sample over dimensions `dims`, or over groups of channels."""

    values: Tensor
    dims: tuple[int, ...] | None
    groups: int | None
    weight: Tensor | None
    bias: Tensor | None
    eps: float | None
    is_centred: bool

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and scale of each sample, without gradient, in shapes that broadcast against the (grouped) values."""
        values = self._grouped(self.values.detach())
        dims = self.dims if self.groups is None else tuple(range(2, values.dim()))
        eps = torch.finfo(values.dtype).eps if self.eps is None else self.eps
        assert dims is not None
        mean = values.mean(dim=dims, keepdim=True) if self.is_centred else values.new_zeros(())
        return mean, ((values - mean).square().mean(dim=dims, keepdim=True) + eps).sqrt()

    def frozen(self, values: Tensor, statistics: tuple[Tensor, Tensor]) -> Tensor:
        """Values normalised by given statistics: linear in them, but for a constant."""
        mean, scale = statistics
        normed = ((self._grouped(values) - mean) / scale).reshape(values.shape)
        for factor, apply in ((self.weight, torch.mul), (self.bias, torch.add)):
            if factor is not None:
                shape = factor if self.groups is None else factor.reshape(-1, *[1] * (values.dim() - 2))
                normed = apply(normed, shape.detach())
        return normed

    def _grouped(self, values: Tensor) -> Tensor:
        return values if self.groups is None else values.unflatten(1, (self.groups, -1))
