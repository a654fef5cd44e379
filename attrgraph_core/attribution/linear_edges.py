"""Edges of linear layers, of heads among them: feature to feature, summed over positions."""

import torch
from torch import Tensor

from attrgraph_core.attribution.sources import Sources, sum_columns
from attrgraph_core.attribution.structure import Layer
from attrgraph_core.attribution.term import Term


def linear_edges(layer: Layer, term: Term, rows_per_sample: int) -> Tensor:
    """Edges of each sample, (samples, targets, edges a target)."""
    weight = term.weight_of(layer)
    sources = layer.sources
    source, target = (_positions(values, rows_per_sample) for values in (term.source, term.target))
    if source.shape[1] == 1 and sources.patterns is None and not sources.is_plain and _is_grouped(sources):
        # One position whose features fall into neurons of neighbours: no tensor of (targets, features) a sample.
        width = sources.neurons.shape[1]
        into = torch.einsum("jcp,ncp->njc", weight.unflatten(1, (width, -1)), source[:, 0].unflatten(1, (width, -1)))
        return _group_targets(into * target[:, 0].unsqueeze(2), layer)
    if sources.patterns is None:
        edges = torch.einsum("npj,npi->nji", target, source) * weight
        return sources.group(_group_targets(edges, layer))
    patterns = sources.patterns.repeat(rows_per_sample).to(source.device)
    total = None
    for number, columns in enumerate(sources.columns):
        chosen = (patterns == number).nonzero().squeeze(1)
        edges = torch.einsum("npj,npi->nji", target[:, chosen], source[:, chosen]) * weight
        edges = sum_columns(_group_targets(edges, layer), columns, sources.neurons.shape[1])
        total = edges if total is None else total + edges
    assert total is not None
    return total


def linear_edge_sum(layer: Layer, term: Term) -> Tensor:
    """Edges summed over samples, (targets, edges a target): one product of matrices."""
    weight = term.weight_of(layer)
    if layer.sources.patterns is not None:
        return _pattern_sum(layer, term, weight)
    source, target = term.source.reshape(-1, weight.shape[1]), term.target.reshape(-1, weight.shape[0])
    edges = (target.T @ source).mul_(weight)
    return layer.sources.group(_group_targets(edges.unsqueeze(0), layer)[0])


def _pattern_sum(layer: Layer, term: Term, weight: Tensor) -> Tensor:
    """A linear layer whose positions read other neurons each: a product of matrices a pattern of positions."""
    sources = layer.sources
    assert sources.patterns is not None
    source, target = (values.flatten(1, -2) for values in (term.source, term.target))
    width = sources.neurons.shape[1]
    if len(sources.columns) == source.shape[1]:  # all positions at once
        met = torch.einsum("npj,npi->jpi", target, source) * weight.unsqueeze(1)
        columns = sources.columns[sources.patterns].reshape(-1)
        return sum_columns(_group_targets(met.flatten(1).unsqueeze(0), layer), columns, width)[0]
    rows = source.shape[0]
    total = None
    for number, columns in enumerate(sources.columns):
        chosen = (sources.patterns == number).nonzero().squeeze(1).to(source.device)
        met = target[:, chosen].reshape(rows * len(chosen), -1).T @ source[:, chosen].reshape(rows * len(chosen), -1)
        edges = sum_columns(_group_targets((met * weight).unsqueeze(0), layer), columns, width)[0]
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
