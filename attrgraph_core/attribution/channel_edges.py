"""Edges of convolutions from channel to channel, summed over positions and taps."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.convolution_taps import (
    CONVOLUTIONS,
    TRANSPOSED,
    padded_to_taps,
    tap_places,
    zero_padding,
)
from attrgraph_core.attribution.sources import pad_by_values, pads_by_values, sum_columns
from attrgraph_core.attribution.structure import Layer
from attrgraph_core.attribution.term import Term


def channel_edges(layer: Layer, term: Term, rows_per_sample: int) -> Tensor:
    """Edges of each sample, (samples, targets, edges a target): tap by tap, the target times the source that the tap
    reads, summed over positions."""
    weight = term.weight_of(layer)
    module = layer.module
    assert isinstance(module, (*CONVOLUTIONS, *TRANSPOSED))
    is_transposed = isinstance(module, TRANSPOSED)
    # A transposed convolution reads what the convolution of the same weights puts out, and the other way round.
    read, put = (term.target, term.source) if is_transposed else (pad_by_values(term.source, module), term.target)
    padding = zero_padding(module)
    edges: Tensor | None = None
    puts = _by_sample(put, module.groups, rows_per_sample)
    for number, place in enumerate(_taps(read, put, module, padding)):
        reads = _by_sample(place, module.groups, rows_per_sample)
        along = torch.einsum("ngol,ngil->ngoi", puts, reads)
        at_tap = weight.flatten(2)[:, :, number]
        part = along * at_tap.unflatten(0, (module.groups, -1))
        edges = part if edges is None else edges + part
    assert edges is not None
    if is_transposed:  # weights are (in, out within a group)
        edges = edges.transpose(2, 3)
    return _edges_of_groups(edges, layer)


def channel_edge_sum(layer: Layer, term: Term) -> Tensor:
    """Edges summed over samples, (targets, edges a target): weight times its gradient, summed over taps."""
    weight = term.weight_of(layer)
    edges = _weight_gradient(layer, term, weight).mul_(weight)
    groups = layer.module.groups  # type: ignore[union-attr]
    edges = edges.flatten(2).sum(dim=2).unflatten(0, (groups, -1)).unsqueeze(0)
    if isinstance(layer.module, TRANSPOSED):
        edges = edges.transpose(2, 3)
    return _edges_of_groups(edges, layer)[0]


def _weight_gradient(layer: Layer, term: Term, weight: Tensor) -> Tensor:
    """What autograd gives for the weight of a convolution, `tᵀs` tap by tap."""
    module = layer.module
    assert isinstance(module, (*CONVOLUTIONS, *TRANSPOSED))
    is_transposed = isinstance(module, TRANSPOSED)
    source, padding = term.source, module.padding
    if pads_by_values(module) or isinstance(padding, str):
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        source = nn.functional.pad(source, module._reversed_padding_repeated_twice, mode=mode)
        padding = (0,) * (weight.dim() - 2)
    _, gradient, _ = torch.ops.aten.convolution_backward(
        term.target, source, weight, None, module.stride, padding, module.dilation, is_transposed,
        module.output_padding, module.groups, (False, True, False),
    )  # fmt: skip
    return gradient


def _taps(read: Tensor, put: Tensor, module: nn.Module, padding: tuple[int, ...]) -> Iterator[Tensor]:
    """What each tap of the kernel, in order, meets of `read` at the positions of `put`."""
    padded = padded_to_taps(read, put, module, padding)
    for place in tap_places(put, module):
        yield padded[(slice(None), slice(None), *place)]


def _by_sample(values: Tensor, groups: int, rows_per_sample: int) -> Tensor:
    """(samples, groups, channels, rows and positions)"""
    by_row = values.flatten(2).unflatten(0, (-1, rows_per_sample)).transpose(1, 2).flatten(2)
    return by_row.unflatten(1, (groups, -1))


def _edges_of_groups(edges: Tensor, layer: Layer) -> Tensor:
    """(samples, groups, targets, columns) to (samples, targets, edges a target)"""
    sources = layer.sources
    groups = edges.shape[1]
    if groups == 1:
        return sources.group(edges[:, 0])
    if len(sources.neurons) > 1:  # each target has the channels of its own group
        return edges.flatten(1, 2)
    dense = edges.new_zeros(len(edges), groups, edges.shape[2], groups, edges.shape[3])
    place = torch.arange(groups, device=edges.device)
    dense[:, place, :, place] = edges.transpose(0, 1)
    return sum_columns(dense.flatten(3).flatten(1, 2), sources.columns, sources.neurons.shape[1])
