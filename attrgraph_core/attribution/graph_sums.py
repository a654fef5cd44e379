"""Sums of attributions over batches, group by group, and the graphs that are made of them.

Memory holds one matrix of edges a layer and group (two with absolute values), and a few samples' factors that wait to
become edges, however many samples there are. Without absolute values of single samples, those of the sums take their
place.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from attrgraph_core.attribution.contraction import contract_edges, embedding_edges, junction_edges
from attrgraph_core.attribution.factors import Factors, LayerFactors, per_sample
from attrgraph_core.attribution.structure import INPUT, Layer, NetworkStructure
from attrgraph_core.attribution.term import Term, sums_by_sample
from attrgraph_core.attribution.waiting_terms import WaitingTerms
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph, completeness_delta
from attrgraph_core.graph.sparsify import EdgeLimits, strongest_in_rows

Pair = tuple[Tensor, Tensor | None]


@dataclass
class Sums:
    """Sums over the samples of one group: signed and absolute, by layer.

    Weights must stay as they are until `edges` were asked for, and all batches be added with absolute values or none.
    """

    sample_count: int = 0
    explained: float = 0.0
    gap: float = 0.0
    attributions: dict[str, Pair] = field(default_factory=dict)
    stabilisers: dict[str, Tensor] = field(default_factory=dict)
    _edges: dict[str, Pair] = field(default_factory=dict)
    _waiting: WaitingTerms = field(default_factory=WaitingTerms)

    @property
    def edges(self) -> dict[str, Pair]:
        """By layer, (targets or 1, edges a target), of all samples that were added."""
        for layer, absolute, terms in self._waiting.rest():
            _add(self._edges, layer.name, *contract_edges(layer, terms, absolute=absolute))
        return self._edges

    def add(self, structure: NetworkStructure, factors: Factors, absolute: bool, samples: slice = slice(None)) -> None:
        """Add a batch, or some of its samples."""
        count = len(factors.explained)
        explained = factors.explained[samples]
        self.sample_count += len(explained)
        self.explained += float(explained.abs().sum())
        at_input = factors.input_attribution
        if at_input is not None:
            at_input = structure.input_map.sum(_rows(at_input, samples, count))
            at_input = sums_by_sample(at_input, len(at_input) // len(explained))
        for layer_factors in factors.layers:
            tokens = self._add_layer(layer_factors, samples, count, absolute)
            if tokens is not None:  # what tokens get is what their embeddings get
                at_input = tokens if at_input is None else at_input + tokens
        if at_input is not None:
            _add(self.attributions, INPUT, at_input.sum(dim=0), _absolute_sum(at_input))
            total = per_sample(at_input)
        else:
            assert factors.input_total is not None
            total = factors.input_total[samples]
        self.gap += float((explained - total - factors.absorbed[samples]).abs().sum())

    def _add_layer(self, own: LayerFactors, samples: slice, count: int, absolute: bool) -> Tensor | None:
        """Add a layer; gives what each input token got, where the layer embeds tokens."""
        layer = own.layer
        rows = len(own.gradient) // count
        of_neuron = sums_by_sample(_rows(own.by_neuron, samples, count), rows)
        _add(self.attributions, layer.name, of_neuron.sum(dim=0), _absolute_sum(of_neuron))
        if own.stabilised is not None:
            kept = _rows(own.stabilised, samples, count).sum(dim=0)
            self.stabilisers[layer.name] = self.stabilisers.get(layer.name, 0.0) + _wide(kept)
        if own.terms:
            terms = tuple(
                Term(_rows(term.source, samples, count), _rows(term.target, samples, count), term.weight)
                for term in own.terms
            )
            rows = len(own.terms[0].source) // count
            terms = self._waiting.join(layer, terms, rows, absolute)
            if terms:
                _add(self._edges, layer.name, *contract_edges(layer, terms, rows, absolute))
            return None
        shares = [_rows(share, samples, count) for share in own.shares]
        if layer.operation == "junction":
            edges = junction_edges(layer, shares, rows)
            _add(self._edges, layer.name, edges.sum(dim=0), _absolute_sum(edges))
            return None
        edges = embedding_edges(layer, shares[0], rows)
        _add(self._edges, layer.name, edges.sum(dim=0), _absolute_sum(edges))
        return edges.sum(dim=1)

    def plus(self, other: "Sums") -> "Sums":
        """The sums of both groups."""
        total = Sums(self.sample_count + other.sample_count, self.explained + other.explained, self.gap + other.gap)
        total.attributions = {key: _plus(own, other.attributions[key]) for key, own in self.attributions.items()}
        total._edges = {key: _plus(own, other.edges[key]) for key, own in self.edges.items()}
        total.stabilisers = {key: value + other.stabilisers[key] for key, value in self.stabilisers.items()}
        return total


def graph_of(
    structure: NetworkStructure, sums: Sums, *, method: str, target: str, baseline: str, keep: EdgeLimits | None = None
) -> AttributionGraph:
    """The graph of a group's sums, as means over its samples; of each layer the strongest edges only, with `keep`."""
    if not sums.sample_count:
        raise AttrGraphError("there are no samples to attribute")
    neurons = _neurons(structure, sums)
    if keep is not None:
        neurons = neurons.assign(**_totals(structure, sums))
    return AttributionGraph(
        neurons=neurons,
        edges=_edges(structure, sums, keep),
        method=method,
        target=target,
        baseline=baseline,
        sample_count=sums.sample_count,
        completeness_delta=completeness_delta(sums.gap, sums.explained),
        total_edge_count=sum(int(_are_there(layer, sums).sum()) for layer in structure.layers),
    )


def _neurons(structure: NetworkStructure, sums: Sums) -> pd.DataFrame:
    """A row a neuron. What its edges leave of its attribution was absorbed, by a stabiliser or else by constants."""
    kinds = {INPUT: "input"} | {layer.name: layer.kind for layer in structure.layers}
    layers = {layer.name: layer for layer in structure.layers}
    tables = []
    for name, kind in kinds.items():
        signed, absolute = _attributions(structure, sums, name)
        absorbed = stabilised = np.zeros_like(signed)
        if name in layers:
            arriving = _mean(sums.edges[name][0].sum(dim=1), sums)
            if name in sums.stabilisers:
                stabilised = _mean(sums.stabilisers[name], sums)
            absorbed = signed - arriving - stabilised
        columns = {
            "layer": name, "index": np.arange(len(signed)), "kind": kind, "attribution": signed,
            "abs_attribution": absolute, "absorbed_by_bias": absorbed, "absorbed_by_stabiliser": stabilised,
        }  # fmt: skip
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _attributions(structure: NetworkStructure, sums: Sums, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean attributions of a layer's neurons and mean absolute ones; the input's may be those of its edges."""
    if name in sums.attributions:
        signed, absolute = sums.attributions[name]
        return _mean(signed, sums), _mean(_absolute(signed, absolute), sums)
    total = np.zeros(structure.input_map.width)
    for layer in structure.input_readers:
        edges = _mean(sums.edges[layer.name][0], sums)
        of_input = _are_there(layer, sums) & (layer.sources.neurons.numpy() < len(total))
        sources = np.broadcast_to(layer.sources.neurons.numpy(), edges.shape)
        total += np.bincount(sources[of_input], weights=edges[of_input], minlength=len(total))
    return total, np.abs(total)


def _totals(structure: NetworkStructure, sums: Sums) -> dict[str, np.ndarray]:
    """Sums of absolute edges into and out of each neuron of the network."""
    total_in, total_out = (np.zeros(sum(structure.widths.values())) for _ in range(2))
    for layer in structure.layers:
        absolute = _mean(_absolute(*sums.edges[layer.name]), sums).astype(np.float64)
        there = _are_there(layer, sums)
        total_in[layer.offset : layer.offset + layer.width] = (absolute * there).sum(axis=1)
        sources = np.broadcast_to(layer.sources.neurons.numpy(), absolute.shape)
        total_out += np.bincount(sources[there], weights=absolute[there], minlength=len(total_out))
    return {"total_in": total_in, "total_out": total_out}


def _are_there(layer: Layer, sums: Sums) -> np.ndarray:
    """Where a layer's matrix has edges, (targets, edges a target).

    A linear layer that stands for a convolution (`unroll`) has a buffer `is_there`, False for weights that it has not.
    """
    there = np.broadcast_to(layer.sources.neurons.numpy() >= 0, tuple(sums.edges[layer.name][0].shape))
    has_weight = getattr(layer.module, "is_there", None)
    if has_weight is None:
        return there
    return there & (layer.sources.group(has_weight.float()) > 0).cpu().numpy()


def _edges(structure: NetworkStructure, sums: Sums, keep: EdgeLimits | None) -> pd.DataFrame:
    """A row an edge, by target and source."""
    names = np.array(structure.names, dtype=object)
    starts = np.cumsum([0, *structure.widths.values()])
    tables = [_layer_edges(layer, sums, names, starts, keep) for layer in structure.layers]
    return pd.concat(tables, ignore_index=True)


def _layer_edges(
    layer: Layer, sums: Sums, names: np.ndarray, starts: np.ndarray, keep: EdgeLimits | None
) -> pd.DataFrame:
    signed, absolute = (_mean(part, sums) for part in (sums.edges[layer.name][0], _absolute(*sums.edges[layer.name])))
    sources = np.broadcast_to(layer.sources.neurons.numpy(), signed.shape)
    targets = np.broadcast_to(np.arange(layer.width)[:, None], signed.shape)
    there = _are_there(layer, sums)
    if keep is not None:
        there = there & strongest_in_rows(np.where(there, absolute, 0.0).astype(np.float64), keep)
    columns = (sources, targets, signed, absolute)
    sources, targets, signed, absolute = (part.ravel() if there.all() else part[there] for part in columns)
    place = np.searchsorted(starts, sources, side="right") - 1
    source_layers = pd.Series(names[place], dtype="str")  # of no edge, too
    return pd.DataFrame({
        "source_layer": source_layers, "source_index": sources - starts[place], "target_layer": layer.name,
        "target_index": targets, "weight": signed, "abs_weight": absolute,
    })  # fmt: skip


def _rows(values: Tensor, samples: slice, count: int) -> Tensor:
    """The rows of some of `count` samples."""
    if samples == slice(None):
        return values
    rows = len(values) // count
    return values[samples.start * rows : samples.stop * rows]


def _absolute_sum(values: Tensor) -> Tensor:
    """Sums of absolute values over samples."""
    return values.abs().sum(dim=0)  # many times faster than vector_norm over the first dimension


def _add(total: dict[str, Pair], name: str, signed: Tensor, absolute: Tensor | None) -> None:
    added = _wide(signed), None if absolute is None else _wide(absolute)
    if name not in total:
        total[name] = added
        return
    assert (absolute is None) == (total[name][1] is None)
    for sums, more in zip(total[name], added, strict=True):
        if sums is not None and more is not None:
            sums.add_(more)  # in place: a new matrix a batch would take as long as the product


def _plus(one: Pair, other: Pair) -> Pair:
    if one[1] is None or other[1] is None:
        return one[0] + other[0], None
    return one[0] + other[0], one[1] + other[1]


def _absolute(signed: Tensor, absolute: Tensor | None) -> Tensor:
    return signed.abs() if absolute is None else absolute


def _wide(values: Tensor) -> Tensor:
    """Sums over many samples need more digits than autocast computes with."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def _mean(total: Tensor, sums: Sums) -> np.ndarray:
    return (total / sums.sample_count).cpu().numpy()
