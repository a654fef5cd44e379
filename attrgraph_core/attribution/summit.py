"""SUMMIT's aggregation of edges (Hohman et al., 2019): how often a source is among its target's strongest.

A count over samples and not a mean: an edge that is strong in few samples does not hide one that is always there.
SUMMIT takes the maximum of a kernel times an activation for an influence; here it is the edge of any method, in
absolute value.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.attribute import prepared, refuse_gap, result_of
from attrgraph_core.attribution.checks import DIVERGED, batches_of, precision_of
from attrgraph_core.attribution.contraction import edges_per_sample, embedding_edges, junction_edges
from attrgraph_core.attribution.factors import AttributionMethod, Batch, Factors, LayerFactors, per_sample
from attrgraph_core.attribution.method import Method
from attrgraph_core.attribution.methods import edge_method
from attrgraph_core.attribution.structure import Layer, NetworkStructure
from attrgraph_core.attribution.target import Logits
from attrgraph_core.attribution.term import sums_by_sample
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import completeness_delta

SAMPLES_AT_ONCE = 16


def top_influence_counts(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    *,
    k: int = 5,
    method: str | Method = "deeplift",
    baseline: str | Tensor | None = None,
) -> pd.DataFrame:
    """For each class and edge, in how many of the class's samples the source is among the target's `k` strongest.

    `loader` gives batches (inputs, labels); the score is each sample's own logit. A row an edge that counts at all:
    class, source_layer, source_index, target_layer, target_index, count. Edges of weight 0 never count. The baseline
    `mean` is that of the first batch. Memory is that of a few samples' edges and of a matrix of counts a layer and
    class, however many batches there are. Raises as `attribute_dataset`.
    """
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise AttrGraphError(f"k is {k!r}; it is a whole number of sources, from 1 on")
    counts, ready = _Counts(edge_method(method), int(k)), None
    precision = torch.float32
    for inputs, labels in batches_of(loader):
        with prepared(model, counts.method, baseline, inputs, ready) as (ready, inputs):
            target, precision = Logits(labels), precision_of(model, inputs.device)
            target.check(len(inputs), ready.structure.output_layer.width)
            for start in range(0, len(inputs), SAMPLES_AT_ONCE):
                part = slice(start, start + SAMPLES_AT_ONCE)
                own = target.part(part).to(inputs.device)
                counts.add(ready.structure, Batch(inputs[part], own, ready.baselines), own.labels)
    if ready is None:
        raise AttrGraphError("there are no samples to attribute")
    refuse_gap(counts.method, "label", completeness_delta(counts.gap, counts.explained), precision)
    return pd.concat(_tables(ready.structure, counts.by_class), ignore_index=True)


@dataclass
class _Counts:
    """Counts by class and layer, and what the attributions that they are of explain and miss."""

    method: AttributionMethod
    k: int
    by_class: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    explained: float = 0.0
    gap: float = 0.0

    def add(self, structure: NetworkStructure, batch: Batch, labels: Tensor) -> None:
        """Add a batch's strongest edges, by class and layer."""
        factors: Factors = result_of(self.method, structure, batch)[0]
        total = torch.zeros_like(factors.explained)
        if factors.input_attribution is not None:
            at_input = per_sample(factors.input_attribution)
            total = sums_by_sample(at_input, len(at_input) // len(labels))
        for own in factors.layers:
            edges = _edges(own, len(labels))
            if own.layer.operation == "embedding":  # what tokens get is what their embeddings get
                total = total + per_sample(edges)
            strongest = _strongest(edges, self.k)
            for label in labels.unique().tolist():
                count, key = strongest[labels == label].sum(dim=0), (label, own.layer.name)
                self.by_class[key] = self.by_class.get(key, torch.zeros_like(count)) + count
        self.explained += float(factors.explained.abs().sum())
        self.gap += float((factors.explained - total - factors.absorbed).abs().sum())


def _edges(own: LayerFactors, samples: int) -> Tensor:
    """Edges of each sample, (samples, targets, edges a target)."""
    rows = len(own.gradient) // samples
    with torch.no_grad():
        if own.terms:
            return edges_per_sample(own.layer, own.terms, len(own.terms[0].source) // samples)
        if own.layer.operation == "junction":
            return junction_edges(own.layer, list(own.shares), rows)
        return embedding_edges(own.layer, own.shares[0], rows)


def _strongest(edges: Tensor, k: int) -> Tensor:
    """1 where an edge is among the strongest of its target, (samples, targets, edges a target)."""
    absolute = edges.abs()
    values, places = absolute.topk(min(k, absolute.shape[2]), dim=2)  # what is no number comes first
    if not bool(torch.isfinite(values).all()):
        raise AttrGraphError(f"the network's attributions are {DIVERGED}")
    return torch.zeros_like(absolute, dtype=torch.int64).scatter_(2, places, (values > 0).long())


def _tables(structure: NetworkStructure, counts: dict[tuple[int, str], Tensor]) -> Iterator[pd.DataFrame]:
    layers = {layer.name: layer for layer in structure.layers}
    names = np.array(structure.names, dtype=object)
    starts = np.cumsum([0, *structure.widths.values()])
    order = {name: place for place, name in enumerate(layers)}
    for label, name in sorted(counts, key=lambda key: (key[0], order[key[1]])):
        yield _table(layers[name], label, counts[label, name].cpu().numpy(), names, starts)


def _table(layer: Layer, label: int, count: np.ndarray, names: np.ndarray, starts: np.ndarray) -> pd.DataFrame:
    sources = np.broadcast_to(layer.sources.neurons.numpy(), count.shape)
    targets, columns = np.nonzero((count > 0) & (sources >= 0))
    source = sources[targets, columns]
    place = np.searchsorted(starts, source, side="right") - 1
    return pd.DataFrame({
        "class": label, "source_layer": pd.Series(names[place], dtype="str"), "source_index": source - starts[place],
        "target_layer": layer.name, "target_index": targets, "count": count[targets, columns],
    })  # fmt: skip
