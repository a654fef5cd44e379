"""All edges of a layer by one contraction.

A layer computes `z_j = Σ_i W_ji a_i + b_j`. Every method gives each sample a source factor `s_i` (an activation, or its
difference from a baseline) and a target factor `t_j` (a gradient or a multiplier), and the edge from i to j of that
sample is `W_ji s_i t_j`. Design, section 3. A rule that treats parts of the weights apart gives several such terms,
whose edges add up.

Summed over samples an edge is `W ⊙ tᵀs`: what autograd does for the weight's gradient. So is the sum of absolute
values, `|W| ⊙ |t|ᵀ|s|`, while a neuron is one element of the layer. Where it covers several (the positions of a channel
or of a token's feature, the steps of a path), its edge in a sample is their sum, and the absolute value of a sum needs
each sample's own edges: they are made for as many samples at once as fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.sources import Sources, pad_by_values, pads_by_values
from attrgraph_core.attribution.structure import Layer

# Elements of the largest tensor of a chunk: 1 MiB in float32 stays near a processor; a GPU wants much at once.
ELEMENTS_AT_ONCE = 1 << 18
ELEMENTS_AT_ONCE_ON_GPU = 1 << 24
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, eq=False)
class Term:
    """Factors of a layer for a batch: `source` (rows, ...) as the layer's input, `target` (rows, ...) as its output.

    `weight` takes the place of the layer's own, where a rule changes it. Of several terms at most one has a share in an
    edge of a row, so that absolute values of their sum are sums of absolute values.
    """

    source: Tensor
    target: Tensor
    weight: Tensor | None = None


def contract_edges(
    layer: Layer, terms: tuple[Term, ...], rows_per_sample: int = 1, absolute: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Edges of `layer` summed over samples, and their absolute values likewise, each (targets or 1, edges a target).

    The columns are those of `layer.sources.neurons`. A sample is `rows_per_sample` rows that follow one another, whose
    edges add up. Without `absolute` there is no second result.
    """
    terms = _without_constants(layer, terms)
    if not absolute:
        return _sum_over_samples(layer, terms), None
    if _factorises(layer, terms, rows_per_sample):
        return _sum_over_samples(layer, terms), _sum_over_samples(layer, _absolute(layer, terms))
    samples = len(terms[0].source) // rows_per_sample
    size = max(1, _elements_at_once(terms[0]) // max(1, _elements_per_sample(layer, terms[0], rows_per_sample)))
    signed = absolute_sum = torch.zeros((), dtype=terms[0].source.dtype, device=terms[0].source.device)
    for start in range(0, samples, size):
        rows = slice(start * rows_per_sample, (start + size) * rows_per_sample)
        part = tuple(Term(term.source[rows], term.target[rows], term.weight) for term in terms)
        edges = edges_per_sample(layer, part, rows_per_sample)
        signed = signed + edges.sum(dim=0)
        absolute_sum = absolute_sum + edges.abs_().sum(dim=0)  # many times faster than vector_norm
    return signed, absolute_sum


def edges_per_sample(layer: Layer, terms: tuple[Term, ...], rows_per_sample: int = 1) -> Tensor:
    """Edges of each sample, (samples, targets, edges a target); for the arguments see `contract_edges`."""
    edges = [_edges(layer, term, rows_per_sample) for term in _without_constants(layer, terms)]
    return torch.stack(edges).sum(dim=0) if len(edges) > 1 else edges[0]


def junction_edges(layer: Layer, shares: list[Tensor], rows_per_sample: int = 1) -> Tensor:
    """Edges of each sample from the operands of a junction to its neurons, (samples, targets, operands).

    `shares` has for each operand, broadcast to the junction's shape, what of the score flows through it (rows, ...).
    """
    edges = torch.stack([layer.neurons.sum(share) for share in shares], dim=2)
    return sums_by_sample(edges, rows_per_sample) * (layer.sources.neurons >= 0).to(edges)


def embedding_edges(layer: Layer, share: Tensor, rows_per_sample: int = 1) -> Tensor:
    """Edges of each sample from tokens to the features of their embedding, (samples, features, tokens).

    `share` (rows, ..., features) is what of the score flows through each feature of each token.
    """
    by_token = sums_by_sample(share.flatten(1, -2), rows_per_sample)
    return group_columns(by_token.transpose(1, 2), layer.sources)


def sums_by_sample(values: Tensor, rows_per_sample: int) -> Tensor:
    """The sums of each sample's rows, (samples, ...)."""
    return values if rows_per_sample == 1 else values.unflatten(0, (-1, rows_per_sample)).sum(dim=1)


def _edges(layer: Layer, term: Term, rows_per_sample: int) -> Tensor:
    if layer.operation == "heads" or isinstance(layer.module, nn.Linear):
        return _linear_edges(layer, term, rows_per_sample)
    if layer.sources.by_element:
        return _element_edges(layer, term, rows_per_sample)
    return _channel_edges(layer, term, rows_per_sample)


# Linear layers


def _linear_edges(layer: Layer, term: Term, rows_per_sample: int) -> Tensor:
    weight = layer.weight() if term.weight is None else term.weight
    sources = layer.sources
    source, target = (_positions(values, rows_per_sample) for values in (term.source, term.target))
    if source.shape[1] == 1 and sources.patterns is None and not sources.is_plain and _is_grouped(sources):
        # One position whose features fall into neurons of neighbours: no tensor of (targets, features) a sample.
        width = sources.neurons.shape[1]
        into = torch.einsum("jcp,ncp->njc", weight.unflatten(1, (width, -1)), source[:, 0].unflatten(1, (width, -1)))
        return _group_targets(into * target[:, 0].unsqueeze(2), layer)
    if sources.patterns is None:
        edges = torch.einsum("npj,npi->nji", target, source) * weight
        return group_columns(_group_targets(edges, layer), sources)
    patterns = sources.patterns.repeat(rows_per_sample).to(source.device)
    total = None
    for number, columns in enumerate(sources.columns):
        chosen = (patterns == number).nonzero().squeeze(1)
        edges = torch.einsum("npj,npi->nji", target[:, chosen], source[:, chosen]) * weight
        edges = _sum_columns(_group_targets(edges, layer), columns, sources.neurons.shape[1])
        total = edges if total is None else total + edges
    assert total is not None
    return total


def _positions(values: Tensor, rows_per_sample: int) -> Tensor:
    """(samples, positions and rows, features)"""
    return values.reshape(len(values) // rows_per_sample, -1, values.shape[-1])


def _is_grouped(sources: Sources) -> bool:
    """Whether the columns are equal groups of neighbours, in order: channels after a flatten."""
    width = sources.neurons.shape[1]
    count = len(sources.columns)
    return count % width == 0 and torch.equal(sources.columns, torch.arange(width).repeat_interleave(count // width))


def _group_targets(edges: Tensor, layer: Layer) -> Tensor:
    """Sums over the features of a head; (samples, features, columns) to (samples, neurons, columns)."""
    if layer.operation != "heads":
        return edges
    return edges.unflatten(1, (layer.width, -1)).sum(dim=2)


def group_columns(edges: Tensor, sources: Sources) -> Tensor:
    """Sums of the columns of each neuron; (..., columns of the weight) to (..., edges a target)."""
    return edges if sources.is_plain else _sum_columns(edges, sources.columns, sources.neurons.shape[1])


def _sum_columns(edges: Tensor, columns: Tensor, width: int) -> Tensor:
    """Sums of the columns of each neuron; columns of -1 are constants and go."""
    columns = columns.to(edges.device)
    known = columns >= 0
    grouped = edges.new_zeros(*edges.shape[:-1], width)
    return grouped.index_add_(edges.dim() - 1, columns[known], edges[..., known])


# Convolutions


def _channel_edges(layer: Layer, term: Term, rows_per_sample: int) -> Tensor:
    """Channel to channel: tap by tap, the target times the source that the tap reads, summed over positions."""
    weight = layer.weight() if term.weight is None else term.weight
    module = layer.module
    assert isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED))
    is_transposed = isinstance(module, _TRANSPOSED)
    # A transposed convolution reads what the convolution of the same weights puts out, and the other way round.
    read, put = (term.target, term.source) if is_transposed else (pad_by_values(term.source, module), term.target)
    padding = (0,) * (weight.dim() - 2) if pads_by_values(module) and not is_transposed else _zero_padding(module)
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


def _by_sample(values: Tensor, groups: int, rows_per_sample: int) -> Tensor:
    """(samples, groups, channels, rows and positions)"""
    by_row = values.flatten(2).unflatten(0, (-1, rows_per_sample)).transpose(1, 2).flatten(2)
    return by_row.unflatten(1, (groups, -1))


def _zero_padding(module: nn.Module) -> tuple[int, ...]:
    """Zeros before each dimension; those after it follow from the output's size."""
    if isinstance(module, _TRANSPOSED):
        return tuple(int(size) for size in module.padding)
    both = module._reversed_padding_repeated_twice
    return tuple(reversed([int(size) for size in both[::2]]))  # type: ignore[index]


def _taps(read: Tensor, put: Tensor, module: nn.Module, padding: tuple[int, ...]) -> Iterator[Tensor]:
    """What each tap of the kernel, in order, meets of `read` at the positions of `put`."""
    padded = _padded(read, put, module, padding)
    for place in _tap_places(put, module):
        yield padded[(slice(None), slice(None), *place)]


def _padded(read: Tensor, put: Tensor, module: nn.Module, padding: tuple[int, ...]) -> Tensor:
    """`read` with `padding` zeros before it, and after it as many as taps reach from the positions of `put`."""
    spans = [_span(size, module, dimension) for dimension, size in enumerate(put.shape[2:])]
    amounts: list[int] = []
    for size, span, before in zip(reversed(read.shape[2:]), reversed(spans), reversed(padding), strict=True):
        amounts += [before, max(0, span - size - before)]
    return nn.functional.pad(read, amounts)


def _span(size: int, module: nn.Module, dimension: int) -> int:
    """How many elements along a dimension the taps reach from `size` positions."""
    stride, width, gap = (part[dimension] for part in (module.stride, module.kernel_size, module.dilation))  # type: ignore[index]
    return int((size - 1) * stride + (width - 1) * gap + 1)


def _tap_places(put: Tensor, module: nn.Module) -> Iterator[tuple[slice, ...]]:
    """Where each tap of the kernel, in order, reads for the positions of `put`."""
    kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
    for tap in product(*(range(int(width)) for width in kernel)):  # type: ignore[union-attr]
        yield tuple(
            slice(at * gap, at * gap + (size - 1) * step + 1, step)
            for at, gap, size, step in zip(tap, dilation, put.shape[2:], stride, strict=True)  # type: ignore[arg-type]
        )


def _edges_of_groups(edges: Tensor, layer: Layer) -> Tensor:
    """(samples, groups, targets, columns) to (samples, targets, edges a target)"""
    sources = layer.sources
    groups = edges.shape[1]
    if groups == 1:
        return group_columns(edges[:, 0], sources)
    if len(sources.neurons) > 1:  # each target has the channels of its own group
        return edges.flatten(1, 2)
    dense = edges.new_zeros(len(edges), groups, edges.shape[2], groups, edges.shape[3])
    place = torch.arange(groups, device=edges.device)
    dense[:, place, :, place] = edges.transpose(0, 1)
    return _sum_columns(dense.flatten(3).flatten(1, 2), sources.columns, sources.neurons.shape[1])


def _element_edges(layer: Layer, term: Term, rows_per_sample: int) -> Tensor:
    """Input element to channel: the element times what each channel's target factor sends back to it."""
    module = layer.module
    assert isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED))
    weight = layer.weight() if term.weight is None else term.weight
    source = pad_by_values(term.source, module)
    sent = _sent_back(layer, weight, source, term.target)
    edges = sums_by_sample((sent * source.unsqueeze(1)).flatten(2), rows_per_sample)
    return group_columns(edges, layer.sources)


def _sent_back(layer: Layer, weight: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """What each target channel alone sends back to the input, (rows, targets, channels, ...).

    A convolution's channels are sent back by one transposed convolution whose groups are the targets.
    """
    module = layer.module
    if isinstance(module, _TRANSPOSED):
        return _sent_back_one_by_one(layer, weight, source, target)
    assert isinstance(module, _CONVOLUTIONS)
    padding = (0,) * (weight.dim() - 2) if pads_by_values(module) else _zero_padding(module)
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


def _element_sum(layer: Layer, term: Term) -> Tensor:
    """Edges from elements summed over samples, (targets, edges): a product of matrices a position of the output, of
    what all taps read there and the target; then each tap's edges go to the elements that it read."""
    module = layer.module
    assert isinstance(module, _CONVOLUTIONS)
    weight = layer.weight() if term.weight is None else term.weight
    source = pad_by_values(term.source, module)
    padding = (0,) * (weight.dim() - 2) if pads_by_values(module) else _zero_padding(module)
    padded = _samples_last(_padded(source, term.target, module, padding))
    total = source.new_zeros(weight.shape[0], *padded.shape[:-1])
    # A few rows of positions at a time, whose tensors stay near the processor.
    size = max(1, _elements_at_once(term) // term.target[:, :, 0].numel())
    for start, put in enumerate(term.target.split(size, dim=2)):
        first = start * size * module.stride[0]
        span = slice(first, first + _span(put.shape[2], module, 0))
        _add_element_edges(total[:, :, span], padded[:, span], put, weight, module)
    for dimension, (start, size) in enumerate(zip(padding, source.shape[2:], strict=True), start=2):
        total = total.narrow(dimension, start, size)
    return group_columns(total.flatten(1).unsqueeze(0), layer.sources)[0]


def _add_element_edges(total: Tensor, read: Tensor, put: Tensor, weight: Tensor, module: nn.Module) -> None:
    """Add to `total` (targets, channels, ...) the edges of what is read (channels, ..., samples) by `put`."""
    # Samples last: positions then are rows of memory, and their products need no further copy.
    targets = _samples_last(put).flatten(1, -2)
    reads = _windows(read, put, module).reshape(-1, *targets.shape[1:])  # (channels and taps, positions, samples)
    met = torch.bmm(targets.transpose(0, 1), reads.permute(1, 2, 0)).flatten(1)  # (positions, targets and taps)
    met.mul_(weight.reshape(-1))
    by_tap = met.t().reshape(*weight.shape[:2], -1, *put.shape[2:])
    for number, place in enumerate(_tap_places(put, module)):
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


# Sums over samples without the edges of each


def _sum_over_samples(layer: Layer, terms: tuple[Term, ...]) -> Tensor:
    total: Tensor | None = None
    for term in terms:
        edges = _signed_sum(layer, term)
        total = edges if total is None else total + edges
    assert total is not None
    return total


def _signed_sum(layer: Layer, term: Term) -> Tensor:
    weight = layer.weight() if term.weight is None else term.weight
    sources = layer.sources
    if sources.by_element:
        if isinstance(layer.module, _CONVOLUTIONS) and layer.module.groups == 1:
            return _element_sum(layer, term)
        return torch.stack([_edges(layer, part, 1).sum(dim=0) for part in _chunks(layer, term)]).sum(dim=0)
    if sources.patterns is not None:
        return _pattern_sum(layer, term, weight)
    if layer.operation == "heads" or isinstance(layer.module, nn.Linear):
        source, target = term.source.reshape(-1, weight.shape[1]), term.target.reshape(-1, weight.shape[0])
        edges = (target.T @ source).mul_(weight)
        return group_columns(_group_targets(edges.unsqueeze(0), layer)[0], sources)
    edges = _weight_gradient(layer, term, weight).mul_(weight)
    groups = layer.module.groups  # type: ignore[union-attr]
    edges = edges.flatten(2).sum(dim=2).unflatten(0, (groups, -1)).unsqueeze(0)
    if isinstance(layer.module, _TRANSPOSED):
        edges = edges.transpose(2, 3)
    return _edges_of_groups(edges, layer)[0]


def _pattern_sum(layer: Layer, term: Term, weight: Tensor) -> Tensor:
    """A linear layer whose positions read other neurons each: a product of matrices a pattern of positions."""
    sources = layer.sources
    assert sources.patterns is not None
    source, target = (values.flatten(1, -2) for values in (term.source, term.target))
    width = sources.neurons.shape[1]
    if len(sources.columns) == source.shape[1]:  # all positions at once
        met = torch.einsum("npj,npi->jpi", target, source) * weight.unsqueeze(1)
        columns = sources.columns[sources.patterns].reshape(-1)
        return _sum_columns(_group_targets(met.flatten(1).unsqueeze(0), layer), columns, width)[0]
    rows = source.shape[0]
    total = None
    for number, columns in enumerate(sources.columns):
        chosen = (sources.patterns == number).nonzero().squeeze(1).to(source.device)
        met = target[:, chosen].reshape(rows * len(chosen), -1).T @ source[:, chosen].reshape(rows * len(chosen), -1)
        edges = _sum_columns(_group_targets((met * weight).unsqueeze(0), layer), columns, width)[0]
        total = edges if total is None else total + edges
    assert total is not None
    return total


def _weight_gradient(layer: Layer, term: Term, weight: Tensor) -> Tensor:
    """What autograd gives for the weight of a convolution, `tᵀs` tap by tap."""
    module = layer.module
    assert isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED))
    is_transposed = isinstance(module, _TRANSPOSED)
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


def _factorises(layer: Layer, terms: tuple[Term, ...], rows_per_sample: int) -> bool:
    """Whether the sum of absolute values is the sum of products of absolute values."""
    is_linear = layer.operation == "weighted" and isinstance(layer.module, nn.Linear)
    one_element = terms[0].source.dim() == 2 and layer.sources.is_plain
    return is_linear and (one_element or layer.sources.is_element_wise) and rows_per_sample == 1


def _absolute(layer: Layer, terms: tuple[Term, ...]) -> tuple[Term, ...]:
    return tuple(
        Term(
            term.source.abs(), term.target.abs(), (layer.weight() if term.weight is None else term.weight).abs()
        )
        for term in terms
    )  # fmt: skip


def _without_constants(layer: Layer, terms: tuple[Term, ...]) -> tuple[Term, ...]:
    """What is constant at some positions only has no edge from there."""
    mask = layer.sources.mask
    if mask is None:
        return terms
    return tuple(Term(term.source * mask.to(term.source), term.target, term.weight) for term in terms)


def _chunks(layer: Layer, term: Term) -> list[Term]:
    size = max(1, _elements_at_once(term) // max(1, _elements_per_sample(layer, term, 1)))
    return [
        Term(source, target, term.weight)
        for source, target in zip(term.source.split(size), term.target.split(size), strict=True)
    ]


def _elements_at_once(term: Term) -> int:
    return ELEMENTS_AT_ONCE if term.source.device.type == "cpu" else ELEMENTS_AT_ONCE_ON_GPU


def _elements_per_sample(layer: Layer, term: Term, rows_per_sample: int) -> int:
    """Size of the largest tensor that a sample's edges need."""
    weight = layer.weight() if term.weight is None else term.weight
    if layer.sources.by_element:
        return rows_per_sample * layer.width * max(term.source[0].numel(), term.target[0].numel())
    taps = weight[0, 0].numel()
    return max(weight.numel() // taps, rows_per_sample * term.source[0].numel())
