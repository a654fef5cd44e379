"""Edges of convolutions whose input's elements are neurons of their own: from pixels to channels."""

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.convolution_taps import (
    CONVOLUTIONS,
    TRANSPOSED,
    padded_to_taps,
    span_of_taps,
    tap_places,
    zero_padding,
)
from attrgraph_core.attribution.sources import pad_by_values
from attrgraph_core.attribution.structure import Layer
from attrgraph_core.attribution.term import Term, elements_at_once, sums_by_sample


def element_edges(layer: Layer, term: Term, rows_per_sample: int) -> Tensor:
    """Edges of each sample, (samples, targets, elements): an element times what each channel's target factor sends back
    to it."""
    module = layer.module
    assert isinstance(module, (*CONVOLUTIONS, *TRANSPOSED))
    weight = term.weight_of(layer)
    source = pad_by_values(term.source, module)
    sent = _sent_back(layer, weight, source, term.target)
    edges = sums_by_sample((sent * source.unsqueeze(1)).flatten(2), rows_per_sample)
    return layer.sources.group(edges)


def element_edge_sum(layer: Layer, term: Term) -> Tensor:
    """Edges from elements summed over samples, (targets, edges): a product of matrices a position of the output, of
    what all taps read there and the target; then each tap's edges go to the elements that it read."""
    module = layer.module
    assert isinstance(module, CONVOLUTIONS)
    weight = term.weight_of(layer)
    source = pad_by_values(term.source, module)
    padding = zero_padding(module)
    padded = _samples_last(padded_to_taps(source, term.target, module, padding))
    total = source.new_zeros(weight.shape[0], *padded.shape[:-1])
    # A few rows of positions at a time, whose tensors stay near the processor.
    size = max(1, elements_at_once(term) // term.target[:, :, 0].numel())
    for start, put in enumerate(term.target.split(size, dim=2)):
        first = start * size * module.stride[0]
        span = slice(first, first + span_of_taps(put.shape[2], module, 0))
        _add_element_edges(total[:, :, span], padded[:, span], put, weight, module)
    for dimension, (start, size) in enumerate(zip(padding, source.shape[2:], strict=True), start=2):
        total = total.narrow(dimension, start, size)
    return layer.sources.group(total.flatten(1).unsqueeze(0))[0]


def _add_element_edges(total: Tensor, read: Tensor, put: Tensor, weight: Tensor, module: nn.Module) -> None:
    """Add to `total` (targets, channels, ...) the edges of what is read (channels, ..., samples) by `put`."""
    targets = put.movedim(1, -1).flatten(1, -2)  # (samples, positions, targets): a view where channels are last
    # Samples last: positions then are rows of memory, and their products need no further copy.
    reads = _windows(read, put, module).reshape(
        -1, targets.shape[1], len(put)
    )  # (channels and taps, positions, samples)
    met = torch.bmm(targets.permute(1, 2, 0), reads.permute(1, 2, 0)).flatten(1)  # (positions, targets and taps)
    met.mul_(weight.reshape(-1))
    by_tap = met.t().reshape(*weight.shape[:2], -1, *put.shape[2:])
    for number, place in enumerate(tap_places(put, module)):
        total[(slice(None), slice(None), *place)] += by_tap[:, :, number]


def _windows(read: Tensor, put: Tensor, module: nn.Module) -> Tensor:
    """A view of `read` (channels, ..., samples): what each tap meets, (channels, taps ..., positions ..., samples)."""
    channel, *steps, sample = read.stride()
    gaps, strides = (
        [step * part for step, part in zip(steps, parts, strict=True)]  # type: ignore[arg-type]
        for parts in (module.dilation, module.stride)
    )
    shape = (len(read), *module.kernel_size, *put.shape[2:], read.shape[-1])  # type: ignore[misc]
    return read.as_strided(shape, (channel, *gaps, *strides, sample))


def _samples_last(values: Tensor) -> Tensor:
    """(channels, ..., samples), as one transposed copy of a matrix: a permutation of more dimensions is slow."""
    return values.flatten(1).t().contiguous().unflatten(0, values.shape[1:])


def _sent_back(layer: Layer, weight: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """What each target channel alone sends back to the input, (rows, targets, channels, ...).

    A convolution's channels are sent back by one transposed convolution whose groups are the targets.
    """
    module = layer.module
    if isinstance(module, TRANSPOSED):
        return _sent_back_one_by_one(layer, weight, source, target)
    assert isinstance(module, CONVOLUTIONS)
    padding = zero_padding(module)
    function = {3: nn.functional.conv_transpose1d, 4: nn.functional.conv_transpose2d}.get(
        weight.dim(), nn.functional.conv_transpose3d
    )
    rows, targets = target.shape[:2]
    sent = function(target, weight, None, module.stride, 0, 0, targets, module.dilation)
    sent = sent.unflatten(1, (targets, -1))
    amounts: list[int] = []  # cut what falls on padding, fill what no window reads
    for size, found, before in zip(source.shape[:1:-1], sent.shape[:2:-1], reversed(padding), strict=True):
        amounts += [-before, size + before - found]
    sent = nn.functional.pad(sent, amounts)
    if module.groups == 1:
        return sent
    whole = sent.new_zeros(rows, module.groups, targets // module.groups, *source.shape[1:])
    by_group = whole.unflatten(3, (module.groups, -1))
    place = torch.arange(module.groups, device=sent.device)
    by_group[:, place, :, place] = sent.unflatten(1, (module.groups, -1)).transpose(0, 1)
    return whole.flatten(1, 2)


def _sent_back_one_by_one(layer: Layer, weight: Tensor, source: Tensor, target: Tensor) -> Tensor:
    rows, channels = target.shape[:2]
    alone = target.new_zeros(rows, channels, *target.shape[1:])
    diagonal = torch.arange(channels, device=target.device)
    alone[:, diagonal, diagonal] = target
    with torch.enable_grad():
        zeros = source.new_zeros(rows * channels, *source.shape[1:]).requires_grad_()
        (sent,) = torch.autograd.grad(layer.apply(zeros, weight, None), zeros, alone.flatten(0, 1))
    return sent.unflatten(0, (rows, channels))
