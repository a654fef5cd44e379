"""Where the taps of a convolution's kernel read, at each position of its output."""

from collections.abc import Iterator
from itertools import product

from torch import Tensor, nn

from attrgraph_core.attribution.sources import pads_by_values

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def zero_padding(module: nn.Module) -> tuple[int, ...]:
    """Zeros before each dimension, none where the input is padded by its values; those after it follow from the
    output's size."""
    if isinstance(module, TRANSPOSED):
        return tuple(int(size) for size in module.padding)
    if pads_by_values(module):
        return (0,) * len(module.kernel_size)  # type: ignore[arg-type]
    both = module._reversed_padding_repeated_twice
    return tuple(reversed([int(size) for size in both[::2]]))  # type: ignore[index]


def padded_to_taps(read: Tensor, put: Tensor, module: nn.Module, padding: tuple[int, ...]) -> Tensor:
    """`read` with `padding` zeros before it, and after it as many as taps reach from the positions of `put`."""
    spans = [span_of_taps(size, module, dimension) for dimension, size in enumerate(put.shape[2:])]
    amounts: list[int] = []
    for size, span, before in zip(reversed(read.shape[2:]), reversed(spans), reversed(padding), strict=True):
        amounts += [before, max(0, span - size - before)]
    return nn.functional.pad(read, amounts)


def span_of_taps(size: int, module: nn.Module, dimension: int) -> int:
    """How many elements along a dimension the taps reach from `size` positions."""
    stride, width, gap = (part[dimension] for part in (module.stride, module.kernel_size, module.dilation))  # type: ignore[index]
    return int((size - 1) * stride + (width - 1) * gap + 1)


def tap_places(put: Tensor, module: nn.Module) -> Iterator[tuple[slice, ...]]:
    """Where each tap of the kernel, in order, reads for the positions of `put`."""
    kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
    for tap in product(*(range(int(width)) for width in kernel)):  # type: ignore[union-attr]
        yield tuple(
            slice(at * gap, at * gap + (size - 1) * step + 1, step)
            for at, gap, size, step in zip(tap, dilation, put.shape[2:], stride, strict=True)  # type: ignore[arg-type]
        )
