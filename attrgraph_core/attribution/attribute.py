"""From a network and some samples to attribution graphs.

Every graph of a data set comes from one backward pass a batch: the score explained is each sample's true-class logit,
and a class's graph is the part of the sums that its own samples make.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.baseline import make_baseline
from attrgraph_core.attribution.contraction import contract_edges
from attrgraph_core.attribution.factors import Factors
from attrgraph_core.attribution.methods import attribution_method
from attrgraph_core.attribution.structure import NetworkStructure, WeightedLayer, network_structure
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph

LARGEST_COMPLETENESS_DELTA = 0.01  # of the mean score; float32 stays under 1e-4, a broken rule far above


def attribute(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    *,
    method: str = "deeplift",
    baseline: str | Tensor | None = None,
) -> AttributionGraph:
    """The attribution graph of `inputs` (samples, ...) for one logit, or for one logit a sample.

    `target` is a class, or a tensor of labels (samples,). `baseline` is `zeros`, `mean`, or a tensor of one input.
    Attribution is made in evaluation mode and leaves the model, its gradients and the random state as they were.
    Raises AttrGraphError for a network without a graph (see `network_structure`), a target outside the outputs,
    values that are not finite, or attributions that do not add up.
    """
    if isinstance(target, Tensor):
        labels, name = target, "label"
    else:
        labels, name = torch.full((len(inputs),), target, device=inputs.device), f"class:{target}"
    sums = _GraphSums(model, method, baseline)
    sums.add(inputs, labels)
    return sums.graph(name, sorted(sums.by_class))


def attribute_dataset(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    target: str = "class",
    *,
    method: str = "deeplift",
    baseline: str | Tensor | None = None,
) -> dict[str, AttributionGraph]:
    """Attribution graphs by target name over batches (inputs, labels), from one pass a batch.

    `target` is `class` (a graph of each class's logit over the samples of that class, named `class:<c>`), `label`
    (one graph of the true class's logit over all samples), or `all` (both). The baseline `mean` is that of the first
    batch. Memory does not grow with the number of batches. Raises as `attribute`.
    """
    if target not in ("class", "label", "all"):
        raise AttrGraphError(f"unknown target {target!r}; known are class, label and all")
    sums = _GraphSums(model, method, baseline)
    for inputs, labels in loader:
        sums.add(inputs, labels)
    classes = sorted(sums.by_class)
    graphs = {} if target == "label" else {f"class:{c}": sums.graph(f"class:{c}", [c]) for c in classes}
    if target != "class":
        graphs["label"] = sums.graph("label", classes)
    return graphs


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """The model in `eval()` mode, each module's own mode restored after."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class _Sums:
    """Sums over the samples of one class."""

    def __init__(self) -> None:
        self.sample_count = 0
        self.explained = 0.0
        self.gaps: Tensor | float = 0.0
        self.attributions: dict[str, tuple[Tensor, Tensor]] = {}
        self.edges: dict[str, tuple[Tensor, Tensor]] = {}


def _add(total: dict[str, tuple[Tensor, Tensor]], name: str, signed: Tensor, absolute: Tensor) -> None:
    before = total.get(name)
    total[name] = (signed, absolute) if before is None else (before[0] + signed, before[1] + absolute)


class _GraphSums:
    """Collects the sums of every class batch by batch."""

    def __init__(self, model: nn.Module, method: str, baseline: str | Tensor | None):
        self.model = model
        self.method = attribution_method(method)
        self.baseline: str | Tensor | None = baseline
        self.baseline_name = "none"
        self.baseline_value: Tensor | None = None
        self.input_width = 0
        self.by_class: dict[int, _Sums] = {}
        with evaluation_mode(model):  # a trace keeps the mode of functional dropout
            self.structure = network_structure(model)

    def add(self, inputs: Tensor, labels: Tensor) -> None:
        device = next(self.model.parameters()).device
        inputs, labels = inputs.to(device), labels.to(device)
        _check_batch(self.structure, inputs, labels)
        if self.baseline_value is None:
            self.baseline_name, self.baseline_value = make_baseline(self.baseline, inputs)
            if not self.method.uses_baseline:
                self.baseline_name = "none"
            self.input_width = inputs[0].numel()
        with evaluation_mode(self.model), torch.enable_grad():
            factors = self.method.factors(self.structure, inputs, labels, self.baseline_value)
        if not bool(torch.isfinite(factors.layer_gaps).all()):
            raise AttrGraphError("the network's scores or attributions are not finite; its weights may have diverged")
        with torch.no_grad():
            for class_id in labels.unique().tolist():
                self._add_class(class_id, factors, labels == class_id)

    def _add_class(self, class_id: int, factors: Factors, chosen: Tensor) -> None:
        sums = self.by_class.setdefault(class_id, _Sums())
        sums.sample_count += int(chosen.sum())
        sums.explained += float(factors.explained[chosen].abs().sum())
        sums.gaps = factors.layer_gaps[:, chosen].abs().sum(dim=1) + sums.gaps
        at_input = factors.input_attribution[chosen].flatten(1)
        _add(sums.attributions, "input", at_input.sum(dim=0), at_input.abs().sum(dim=0))
        for layer in self.structure.layers:
            own = factors.layers[layer.name]
            source, target = own.source[chosen], own.target[chosen]
            of_neuron = own.output[chosen] * target
            of_neuron = of_neuron.flatten(2).sum(dim=2) if of_neuron.dim() > 2 else of_neuron
            _add(sums.attributions, layer.name, of_neuron.sum(dim=0), of_neuron.abs().sum(dim=0))
            _add(sums.edges, layer.name, *contract_edges(layer.module, source, target, self._source_width(layer)))

    def _source_width(self, layer: WeightedLayer) -> int:
        if layer.source == "input":
            return self.input_width
        return next(other.width for other in self.structure.layers if other.name == layer.source)

    def graph(self, target: str, classes: list[int]) -> AttributionGraph:
        """The graph over the samples of `classes`."""
        parts = [self.by_class[class_id] for class_id in classes]
        count = sum(part.sample_count for part in parts)
        if count == 0:
            raise AttrGraphError("there are no samples to attribute")
        gaps = torch.stack([torch.as_tensor(part.gaps) for part in parts]).sum(dim=0)
        delta = float(gaps.max()) / max(sum(part.explained for part in parts), torch.finfo(gaps.dtype).tiny)
        if self.method.uses_baseline and delta > LARGEST_COMPLETENESS_DELTA:
            raise AttrGraphError(
                f"{self.method.name} attributions of target {target} miss {delta:.2%} of the score, more than "
                f"{LARGEST_COMPLETENESS_DELTA:.0%}; the network has an operation whose rule is wrong, or its scores "
                "barely differ from those of the baseline"
            )
        return AttributionGraph(
            neurons=self._neurons(parts, count),
            edges=self._edges(parts, count),
            method=self.method.name,
            target=target,
            baseline=self.baseline_name,
            sample_count=count,
            completeness_delta=delta,
        )

    def _neurons(self, parts: list[_Sums], count: int) -> pd.DataFrame:
        kinds = {"input": "input"} | {layer.name: self.structure.kind(layer) for layer in self.structure.layers}
        tables = []
        for name, kind in kinds.items():
            signed, absolute = _mean([part.attributions[name] for part in parts], count)
            columns = {"attribution": signed, "abs_attribution": absolute}
            tables.append(pd.DataFrame({"layer": name, "index": np.arange(len(signed)), "kind": kind} | columns))
        return pd.concat(tables, ignore_index=True)

    def _edges(self, parts: list[_Sums], count: int) -> pd.DataFrame:
        tables = []
        for layer in self.structure.layers:
            signed, absolute = _mean([part.edges[layer.name] for part in parts], count)
            targets, sources = np.indices(signed.shape).reshape(2, -1)
            columns = {
                "source_layer": layer.source,
                "source_index": sources,
                "target_layer": layer.name,
                "target_index": targets,
                "weight": signed.ravel(),
                "abs_weight": absolute.ravel(),
            }
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables, ignore_index=True)


def _mean(sums: list[tuple[Tensor, Tensor]], count: int) -> tuple[np.ndarray, np.ndarray]:
    signed = torch.stack([part[0] for part in sums]).sum(dim=0) / count
    absolute = torch.stack([part[1] for part in sums]).sum(dim=0) / count
    return signed.cpu().numpy(), absolute.cpu().numpy()


def _check_batch(structure: NetworkStructure, inputs: Tensor, labels: Tensor) -> None:
    if len(inputs) != len(labels) or labels.dim() != 1:
        raise AttrGraphError(f"{len(inputs)} inputs need as many labels, not a tensor of shape {tuple(labels.shape)}")
    if len(inputs) == 0:
        raise AttrGraphError("there are no samples to attribute")
    if not bool(torch.isfinite(inputs).all()):
        raise AttrGraphError("the inputs hold values that are not finite")
    width = structure.output_layer.width
    outside = labels[(labels < 0) | (labels >= width)]
    if len(outside):
        raise AttrGraphError(f"target {int(outside[0])} is outside the network's {width} outputs (0 to {width - 1})")
