"""From a network and some samples to attribution graphs.

Every graph of a data set comes from one backward pass a batch: a class's graph is the part of the sums that its own
samples make.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.baseline import make_baseline
from attrgraph_core.attribution.checks import (
    DIVERGED,
    admitted,
    batches_of,
    check_inputs,
    check_scores,
    precision_of,
)
from attrgraph_core.attribution.factors import AttributionMethod, Batch
from attrgraph_core.attribution.graph_sums import Sums, graph_of
from attrgraph_core.attribution.method import Method
from attrgraph_core.attribution.methods import attribution_method
from attrgraph_core.attribution.network_pass import known_tokens
from attrgraph_core.attribution.neuron_methods.neuron_method import NeuronMethod
from attrgraph_core.attribution.neuron_sums import NeuronSums, neuron_graph_of
from attrgraph_core.attribution.structure import NetworkStructure
from attrgraph_core.attribution.target import Logits, Loss, Target, make_target
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.sparsify import EdgeLimits

ROUNDINGS = 16  # so many relative errors of the precision are no gap of the method: an eighth in bfloat16
TARGETS = ("class", "label", "loss", "all")


def attribute(
    model: nn.Module,
    inputs: Tensor,
    target: int | str | Tensor,
    *,
    method: str | Method = "deeplift",
    baseline: str | Tensor | None = None,
    labels: Tensor | None = None,
    absolute: bool = True,
    keep: EdgeLimits | None = None,
) -> AttributionGraph:
    """The attribution graph of `inputs` (samples, ...) for one score a sample; without edges by some methods.

    `target` is a class; labels (samples,), each sample's own class; weights (samples, classes) of a combination of
    logits, such as wrong minus right; or `loss`, the cross entropy with `labels`. `baseline` is `zeros`, `mean`, a
    tensor of one input, or a background set (backgrounds, ...) to average over: each sample is compared with every one
    of its rows, also where they are as many as the samples. Without `absolute`, `abs_weight` is the absolute value of
    the mean and not the mean of absolute values, which saves up to half the time.

    With `keep` a layer's edges become a table after the weak ones have gone, so that a large network's graph fits into
    memory; `store.save` keeps what it is given under the same limits.

    Attribution is made in evaluation mode and leaves the model, its gradients and the random state as they were.
    Raises AttrGraphError for a network that cannot be laid out (see `network_structure`) or that the method is not for
    (see `lint`), a target outside the outputs, values that are not finite, or attributions relative to a baseline that
    do not add up.
    """
    check_inputs(inputs)
    attribution = _Attribution(model, method, baseline, absolute, keep)
    explained = make_target(target, labels, len(inputs))
    attribution.add(inputs, explained, None)
    return attribution.graph(explained.name, attribution.groups[None])


def attribute_dataset(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    target: str = "class",
    *,
    method: str | Method = "deeplift",
    baseline: str | Tensor | None = None,
    absolute: bool = True,
    keep: EdgeLimits | None = None,
) -> dict[str, AttributionGraph]:
    """Attribution graphs by target name over batches (inputs, labels), from one pass a batch.

    `target` is `class` (a graph of each class's logit over the samples of that class, named `class:<c>`), `label` (one
    graph of the true class's logit over all samples), `all` (both), or `loss` (one graph of the cross entropy). The
    baseline `mean` is that of the first batch. Memory does not grow with the number of batches. Otherwise, and in what
    it raises, as `attribute`.
    """
    if target not in TARGETS:
        raise AttrGraphError(f"unknown target {target!r}; known are {', '.join(TARGETS)}")
    attribution = _Attribution(model, method, baseline, absolute, keep)
    for inputs, labels in batches_of(loader):
        explained: Target = Loss(labels) if target == "loss" else Logits(labels)
        attribution.add(inputs, explained, labels if target in ("class", "all") else None)
    groups = attribution.groups
    if not groups:
        raise AttrGraphError("there are no samples to attribute")
    if target in ("label", "loss"):
        return {target: attribution.graph(target, groups[None])}
    classes = sorted(label for label in groups if label is not None)
    graphs = {f"class:{label}": attribution.graph(f"class:{label}", groups[label]) for label in classes}
    if target == "all":
        total = groups[classes[0]]
        for label in classes[1:]:
            total = total.plus(groups[label])
        graphs["label"] = attribution.graph("label", total)
    return graphs


class _Attribution:
    """A method at work on one network, batch by batch."""

    def __init__(
        self,
        model: nn.Module,
        method: str | Method,
        baseline: str | Tensor | None,
        absolute: bool,
        keep: EdgeLimits | None,
    ):
        self.model = model
        self.method = attribution_method(method)
        self.absolute = absolute
        if keep is not None and not isinstance(keep, EdgeLimits):
            raise AttrGraphError(f"keep is {keep!r}; give EdgeLimits(edge_mass=..., max_edges_per_neuron=...)")
        self.keep = keep
        self.asked_baseline = baseline
        self.prepared: Prepared | None = None
        self.precision = torch.float32
        self.groups: dict[int | None, Any] = {}  # Sums or NeuronSums

    def add(self, inputs: Tensor, target: Target, groups: Tensor | None) -> None:
        """Add a batch; `groups` (samples,) are the labels to sum by, None sums over all."""
        with prepared(self.model, self.method, self.asked_baseline, inputs, self.prepared) as (ready, inputs):
            self.prepared, device = ready, inputs.device
            self.precision = precision_of(self.model, device)
            structure, baselines = ready.structure, ready.baselines
            target.check(len(inputs), structure.output_layer.width)
            size = self.method.samples_at_once(structure, len(baselines), len(inputs))
            if groups is not None:  # samples of a group follow one another, so that their part is a slice
                order = groups.argsort(stable=True)
                inputs, target, groups = inputs[order.to(device)], target.part(order), groups[order]
            for start in range(0, len(inputs), size):
                part = slice(start, start + size)
                own = None if groups is None else groups[part].to(device)
                batch = Batch(inputs[part], target.part(part).to(device), baselines, self.absolute)
                self._add_part(structure, batch, own)

    def _add_part(self, structure: NetworkStructure, batch: Batch, groups: Tensor | None) -> None:
        found, new_sums = result_of(self.method, structure, batch)
        with torch.no_grad():
            for label, own in _parts(groups).items():
                self.groups.setdefault(label, new_sums()).add(structure, found, self.absolute, own)

    def graph(self, target: str, sums: Sums | NeuronSums) -> AttributionGraph:
        assert self.prepared is not None
        structure = self.prepared.structure
        names = {"method": self.method.name, "target": target, "baseline": self.prepared.baseline_name}
        if isinstance(sums, NeuronSums):
            graph = neuron_graph_of(structure, sums, **names)
        else:
            graph = graph_of(structure, sums, **names, keep=self.keep)
        if not np.isfinite(graph.neurons["attribution"]).all():
            raise AttrGraphError(f"the network's attributions are {DIVERGED}")
        refuse_gap(self.method, target, graph.completeness_delta, self.precision)
        return graph


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network laid out by its first batch, and the baselines (backgrounds, ...) of a method for it."""

    structure: NetworkStructure
    baseline_name: str
    baselines: Tensor


@contextmanager
def prepared(
    model: nn.Module, method: Method, baseline: str | Tensor | None, inputs: Tensor, before: Prepared | None = None
) -> Iterator[tuple[Prepared, Tensor]]:
    """A network and a method ready for a batch, and the batch on its device; `before` is that of the first batch.

    Raises AttrGraphError as `checks.admitted`, for what the method is not for, for a baseline that does not fit the
    inputs or the method, and for a batch unlike the first.
    """
    with admitted(model, inputs, None if before is None else before.structure) as (structure, inputs):
        if before is None:
            refuse_obstacles(method, structure)
            name, baselines = make_baseline(baseline, inputs)
            if method.uses_baseline and len(baselines) < method.fewest_baselines:
                raise AttrGraphError(
                    f"{method.name} needs a background set of {method.fewest_baselines} inputs or more: "
                    "baseline=tensor (backgrounds, ...), such as samples of the training data"
                )
            before = Prepared(structure, name if method.uses_baseline else "none", baselines)
        if inputs.shape[1:] != before.baselines.shape[1:]:
            raise AttrGraphError(
                f"an input of shape {tuple(inputs.shape[1:])} comes after inputs of shape "
                f"{tuple(before.baselines.shape[1:])}; all must have one shape"
            )
        yield before, inputs


def _parts(groups: Tensor | None) -> dict[int | None, slice]:
    """Where the samples of each group are, which follow one another; the group None is all."""
    if groups is None:
        return {None: slice(None)}
    labels, counts = groups.unique_consecutive(return_counts=True)
    ends = counts.cumsum(0).tolist()
    return {
        label: slice(end - count, end) for label, count, end in zip(labels.tolist(), counts.tolist(), ends, strict=True)
    }


def refuse_obstacles(method: Method, structure: NetworkStructure) -> None:
    """Raise AttrGraphError for a network that the method is not for."""
    for found in method.obstacles(structure):
        raise AttrGraphError(f"{method.name} is not for this network: {found.place} {found.what}; {found.change}")


def result_of(method: Method, structure: NetworkStructure, batch: Batch) -> tuple[Any, type[Sums] | type[NeuronSums]]:
    """What a method finds in a batch, and the sums that take it in: `sums.add(structure, found, absolute, samples)`."""
    with torch.enable_grad(), known_tokens(structure):
        if isinstance(method, NeuronMethod):
            shares = method.shares(structure, batch)
            check_scores(shares.explained)
            return shares, NeuronSums
        assert isinstance(method, AttributionMethod)
        factors = method.factors(structure, batch)
        check_scores(factors.explained)
        return factors, Sums


def refuse_gap(method: Method, target: str, delta: float, precision: torch.dtype) -> None:
    """Raise AttrGraphError where attributions miss more of the score, a part `delta` of it, than the method may."""
    if not delta < float("inf"):
        raise AttrGraphError(f"the network's attributions are {DIVERGED}")
    if method.largest_gap is None:
        return
    largest = method.largest_gap + ROUNDINGS * torch.finfo(precision).eps
    if delta > largest:
        raise AttrGraphError(
            f"{method.name} attributions of target {target} miss {delta:.2%} of the score, more than {largest:.0%}; "
            f"{method.when_incomplete}"
        )
