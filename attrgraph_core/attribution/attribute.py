"""From a network and some samples to attribution graphs.

Every graph of a data set comes from one backward pass a batch: a class's graph is the part of the sums that its own
samples make.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.baseline import make_baseline
from attrgraph_core.attribution.checks import batches_of, check_inputs, device_of, precision_of, structure_of
from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.factors import AttributionMethod, Batch
from attrgraph_core.attribution.graph_sums import Sums, graph_of
from attrgraph_core.attribution.method import Method
from attrgraph_core.attribution.methods import attribution_method
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
    tensor of one input, or a background set (backgrounds, ...) to average over. Without `absolute`, `abs_weight` is the
    absolute value of the mean and not the mean of absolute values, which saves up to half the time.

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
        self.baseline_name = "none"
        self.baselines: Tensor | None = None
        self.structure: NetworkStructure | None = None
        self.precision = torch.float32
        self.groups: dict[int | None, Any] = {}  # Sums or NeuronSums

    def add(self, inputs: Tensor, target: Target, groups: Tensor | None) -> None:
        """Add a batch; `groups` (samples,) are the labels to sum by, None sums over all."""
        device = device_of(self.model)
        inputs = inputs.to(device)
        self.precision = precision_of(self.model, device)
        with evaluation_mode(self.model):
            structure, baselines = self._prepared(inputs)
            target.check(len(inputs), structure.output_layer.width)
            size = self.method.samples_at_once(structure, len(baselines), len(inputs))
            if groups is not None:  # samples of a group follow one another, so that their part is a slice
                order = groups.argsort(stable=True)
                inputs, target, groups = inputs[order.to(device)], target.part(order), groups[order]
            for start in range(0, len(inputs), size):
                part = slice(start, start + size)
                own = None if groups is None else groups[part].to(device)
                self._add_part(inputs[part], target.part(part).to(device), own)

    def _prepared(self, inputs: Tensor) -> tuple[NetworkStructure, Tensor]:
        if self.structure is None or self.baselines is None:
            self.structure = structure_of(self.model, inputs)
            refuse_obstacles(self.method, self.structure)
            self.baseline_name, self.baselines = make_baseline(self.asked_baseline, inputs)
            if not self.method.uses_baseline:
                self.baseline_name = "none"
            elif len(self.baselines) < self.method.fewest_baselines:
                raise AttrGraphError(
                    f"{self.method.name} needs a background set of {self.method.fewest_baselines} inputs or more: "
                    "baseline=tensor (backgrounds, ...)"
                )
        if inputs.shape[1:] != self.baselines.shape[1:]:
            raise AttrGraphError(
                f"an input of shape {tuple(inputs.shape[1:])} comes after inputs of shape "
                f"{tuple(self.baselines.shape[1:])}; all must have one shape"
            )
        return self.structure, self.baselines

    def _add_part(self, inputs: Tensor, target: Target, groups: Tensor | None) -> None:
        assert self.structure is not None
        assert self.baselines is not None
        batch = Batch(inputs, target, self.baselines, self.absolute)
        try:
            found, new_sums = result_of(self.method, self.structure, batch)
        except IndexError as error:
            if not self.structure.reads_tokens:
                raise
            raise AttrGraphError(
                "an input or the baseline holds a token that the network has no embedding for"
            ) from error
        if not bool(torch.isfinite(found.explained).all()):
            raise AttrGraphError("the network's scores are not finite; its weights may have diverged")
        with torch.no_grad():
            for label, own in _parts(groups).items():
                self.groups.setdefault(label, new_sums()).add(self.structure, found, self.absolute, own)

    def graph(self, target: str, sums: Sums | NeuronSums) -> AttributionGraph:
        assert self.structure is not None
        names = {"method": self.method.name, "target": target, "baseline": self.baseline_name}
        if isinstance(sums, NeuronSums):
            graph = neuron_graph_of(self.structure, sums, **names)
        else:
            graph = graph_of(self.structure, sums, **names, keep=self.keep)
        delta = graph.completeness_delta
        if not delta < float("inf") or not np.isfinite(graph.neurons["attribution"]).all():
            raise AttrGraphError("the network's attributions are not finite; its weights may have diverged")
        largest = self.method.largest_gap
        rounding = ROUNDINGS * torch.finfo(self.precision).eps
        if largest is not None and delta > largest + rounding:
            raise AttrGraphError(
                f"{self.method.name} attributions of target {target} miss {delta:.2%} of the score, more than "
                f"{largest + rounding:.0%}; {self.method.when_incomplete}"
            )
        return graph


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
    try:
        with torch.enable_grad():
            if isinstance(method, NeuronMethod):
                return method.shares(structure, batch), NeuronSums
            assert isinstance(method, AttributionMethod)
            return method.factors(structure, batch), Sums
    except IndexError as error:
        if not structure.reads_tokens:
            raise
        raise AttrGraphError("an input or the baseline holds a token that the network has no embedding for") from error
