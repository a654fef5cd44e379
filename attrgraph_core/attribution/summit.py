"""SUMMIT's aggregation of edges (Hohman et al., 2019): how often a source is among its target's strongest.

A count over samples and not a mean: an edge that is strong in few samples does not hide one that is always there.
SUMMIT takes the maximum of a kernel times an activation for an influence; here it is the edge of any method, in
absolute value.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.attribute import refuse_obstacles
from attrgraph_core.attribution.baseline import make_baseline
from attrgraph_core.attribution.checks import batches_of, device_of, structure_of
from attrgraph_core.attribution.contraction import edges_per_sample, embedding_edges, junction_edges
from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.factors import AttributionMethod, Batch, LayerFactors
from attrgraph_core.attribution.method import Method
from attrgraph_core.attribution.methods import edge_method
from attrgraph_core.attribution.structure import Layer, NetworkStructure
from attrgraph_core.attribution.target import Logits
from attrgraph_core.errors import AttrGraphError

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
    if k < 1:
        raise AttrGraphError(f"k is {k}; it is a number of sources, from 1 on")
    asked, device = edge_method(method), device_of(model)
    counts: dict[tuple[int, str], Tensor] = {}
    structure: NetworkStructure | None = None
    for inputs, labels in batches_of(loader):
        inputs, labels = inputs.to(device), labels.to(device)
        with evaluation_mode(model):
            if structure is None:
                structure, (_, baselines) = structure_of(model, inputs), make_baseline(baseline, inputs)
                refuse_obstacles(asked, structure)
            Logits(labels).check(len(inputs), structure.output_layer.width)
            for own, own_labels in zip(inputs.split(SAMPLES_AT_ONCE), labels.split(SAMPLES_AT_ONCE), strict=True):
                _count(asked, structure, Batch(own, Logits(own_labels).to(device), baselines), k, counts)
    if structure is None:
        raise AttrGraphError("there are no samples to attribute")
    return pd.concat(_tables(structure, counts), ignore_index=True)


def _count(
    method: AttributionMethod, structure: NetworkStructure, batch: Batch, k: int, counts: dict[tuple[int, str], Tensor]
) -> None:
    """Add a batch's strongest edges to `counts`, by class and layer."""
    assert isinstance(batch.target, Logits)
    labels = batch.target.labels
    with torch.enable_grad():
        factors = method.factors(structure, batch)
    for own in factors.layers:
        strongest = _strongest(_edges(own, len(labels)), k)
        for label in labels.unique().tolist():
            count, key = strongest[labels == label].sum(dim=0), (label, own.layer.name)
            counts[key] = counts.get(key, torch.zeros_like(count)) + count


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
    values, places = absolute.topk(min(k, absolute.shape[2]), dim=2)
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
