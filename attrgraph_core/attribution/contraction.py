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

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.channel_edges import channel_edge_sum, channel_edges
from attrgraph_core.attribution.convolution_taps import CONVOLUTIONS
from attrgraph_core.attribution.element_edges import element_edge_sum, element_edges
from attrgraph_core.attribution.linear_edges import linear_edge_sum, linear_edges
from attrgraph_core.attribution.structure import Layer
from attrgraph_core.attribution.term import Term, elements_at_once, sums_by_sample


def contract_edges(
    layer: Layer, terms: tuple[Term, ...], rows_per_sample: int = 1, absolute: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Edges of `layer` summed over samples, and their absolute values likewise, each (targets or 1, edges a target).

    The columns are those of `layer.sources.neurons`. A sample is `rows_per_sample` rows that follow one another, whose
    edges add up. Without `absolute` there is no second result.
    """
    terms = _without_constants(layer, terms)
    if is_one_product(layer, terms, rows_per_sample, absolute):
        signed = _sum_over_samples(layer, terms)
        return signed, _sum_over_samples(layer, _absolute(layer, terms)) if absolute else None
    samples = len(terms[0].source) // rows_per_sample
    size = max(1, elements_at_once(terms[0]) // max(1, _elements_per_sample(layer, terms[0], rows_per_sample)))
    signed = absolute_sum = torch.zeros((), dtype=terms[0].source.dtype, device=terms[0].source.device)
    for start in range(0, samples, size):
        rows = slice(start * rows_per_sample, (start + size) * rows_per_sample)
        part = tuple(Term(term.source[rows], term.target[rows], term.weight) for term in terms)
        edges = edges_per_sample(layer, part, rows_per_sample)
        signed = signed + edges.sum(dim=0)
        absolute_sum = absolute_sum + edges.abs_().sum(dim=0)  # many times faster than vector_norm
    return signed, absolute_sum


def is_one_product(layer: Layer, terms: tuple[Term, ...], rows_per_sample: int, absolute: bool) -> bool:
    """Whether the edges, and absolute values where they are asked for, are made for all samples at once."""
    return not absolute or _factorises(layer, terms, rows_per_sample)


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
    return layer.sources.group(by_token.transpose(1, 2))


def _edges(layer: Layer, term: Term, rows_per_sample: int) -> Tensor:
    if _is_linear(layer):
        return linear_edges(layer, term, rows_per_sample)
    if layer.sources.by_element:
        return element_edges(layer, term, rows_per_sample)
    return channel_edges(layer, term, rows_per_sample)


def _sum_over_samples(layer: Layer, terms: tuple[Term, ...]) -> Tensor:
    total: Tensor | None = None
    for term in terms:
        edges = _signed_sum(layer, term)
        total = edges if total is None else total + edges
    assert total is not None
    return total


def _signed_sum(layer: Layer, term: Term) -> Tensor:
    if layer.sources.by_element:
        if isinstance(layer.module, CONVOLUTIONS) and layer.module.groups == 1:
            return element_edge_sum(layer, term)
        return torch.stack([_edges(layer, part, 1).sum(dim=0) for part in _chunks(layer, term)]).sum(dim=0)
    return linear_edge_sum(layer, term) if _is_linear(layer) else channel_edge_sum(layer, term)


def _is_linear(layer: Layer) -> bool:
    return layer.operation == "heads" or isinstance(layer.module, nn.Linear)


def _factorises(layer: Layer, terms: tuple[Term, ...], rows_per_sample: int) -> bool:
    """Whether the sum of absolute values is the sum of products of absolute values."""
    is_linear = layer.operation == "weighted" and isinstance(layer.module, nn.Linear)
    one_element = terms[0].source.dim() == 2 and layer.sources.is_plain
    return is_linear and (one_element or layer.sources.is_element_wise) and rows_per_sample == 1


def _absolute(layer: Layer, terms: tuple[Term, ...]) -> tuple[Term, ...]:
    return tuple(
        Term(
            term.source.abs(), term.target.abs(), term.weight_of(layer).abs()
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
    size = max(1, elements_at_once(term) // max(1, _elements_per_sample(layer, term, 1)))
    return [
        Term(source, target, term.weight)
        for source, target in zip(term.source.split(size), term.target.split(size), strict=True)
    ]


def _elements_per_sample(layer: Layer, term: Term, rows_per_sample: int) -> int:
    """Size of the largest tensor that a sample's edges need."""
    weight = term.weight_of(layer)
    if layer.sources.by_element:
        return rows_per_sample * layer.width * max(term.source[0].numel(), term.target[0].numel())
    taps = weight[0, 0].numel()
    return max(weight.numel() // taps, rows_per_sample * term.source[0].numel())
