"""The truth that attributions are held against: what the score loses when a neuron or an edge is taken away.

A neuron is ablated where it is put out: `do(z_i = v)`, for everything that reads it. An edge is ablated where it is
read: the target computes as if the source had the value `v`, all other readers see the real one. `v` is zero, the mean
over the samples, or the value of another sample. Each ablation is exact: its own forward pass, many of them at once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, fx, nn

from attrgraph_core.attribution.checks import admitted, check_scores
from attrgraph_core.attribution.network_pass import NetworkPass, Recording, known_tokens
from attrgraph_core.attribution.structure import INPUT, Layer, NetworkStructure
from attrgraph_core.attribution.target import Target, make_target
from attrgraph_core.errors import AttrGraphError

Neuron = tuple[str, int]
Edge = tuple[str, int, str, int]
Kind = Literal["zero", "mean", "resample"]
NEURON = ["layer", "index"]
EDGE = ["source_layer", "source_index", "target_layer", "target_index"]
ROWS_AT_ONCE = 2048


def ablate_neurons(
    model: nn.Module,
    inputs: Tensor,
    target: int | str | Tensor,
    neurons: Iterable[Neuron],
    *,
    kind: Kind = "zero",
    together: bool = False,
    labels: Tensor | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """A row a neuron (layer, index): `effect`, the mean over samples of score less ablated score, and `abs_effect`.

    `effect` is positive where the neuron raised the score. `together` ablates all of them at once: every row then has
    the joint effect. `resample` takes the value of another sample, drawn by `seed`. Targets are those of `attribute`.
    Raises AttrGraphError for a layer or neuron that is not there, an unknown kind, and what `attribute` refuses.
    """
    asked = _asked(neurons, NEURON)

    def intervene(structure: NetworkStructure, clean: "_Clean") -> list["_Intervention"]:
        return [_on_neuron(structure, clean, *neuron) for neuron in asked]

    table = pd.DataFrame(asked, columns=NEURON)
    return _effects(model, inputs, target, table, intervene, kind, together, labels, seed)


def ablate_edges(
    model: nn.Module,
    inputs: Tensor,
    target: int | str | Tensor,
    edges: Iterable[Edge],
    *,
    kind: Kind = "zero",
    together: bool = False,
    labels: Tensor | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """A row an edge (source_layer, source_index, target_layer, target_index), otherwise as `ablate_neurons`."""
    asked = _asked(edges, EDGE)

    def intervene(structure: NetworkStructure, clean: "_Clean") -> list["_Intervention"]:
        return [_on_edge(structure, clean, *edge) for edge in asked]

    table = pd.DataFrame(asked, columns=EDGE)
    return _effects(model, inputs, target, table, intervene, kind, together, labels, seed)


@dataclass(frozen=True, eq=False)
class _Intervention:
    """At a layer's output, or (with `operand`) at what it reads: where `mask`, a sample's tensor, take `value`.

    `mask` and `value` (samples or 1, ...) are of the output or of the operand; `only` are the elements of the output
    that see an operand so changed.
    """

    layer: str
    mask: Tensor
    value: Tensor
    operand: int | None = None
    only: Tensor | None = None


@dataclass(frozen=True, eq=False)
class _Clean:
    """What the network computes of the samples, and how a value is replaced."""

    inputs: Tensor
    recording: Recording
    replace: Callable[[Tensor], Tensor]


def _asked(parts: Iterable[Any], names: list[str]) -> list[Any]:
    """Neurons or edges as given. Raises AttrGraphError for what is no list of tuples of names and whole numbers."""
    if not isinstance(parts, Iterable):
        raise AttrGraphError(f"what to ablate is {parts!r}; give a list of ({', '.join(names)})")
    asked, kinds = list(parts), (str, Integral) * (len(names) // 2)
    for own in asked:
        if not isinstance(own, tuple | list) or len(own) != len(names) or not all(map(isinstance, own, kinds)):
            raise AttrGraphError(f"there is nothing to ablate by {own!r}; give ({', '.join(names)})")
    return asked


def _effects(
    model: nn.Module,
    inputs: Tensor,
    target: int | str | Tensor,
    table: pd.DataFrame,
    intervene: Callable[[NetworkStructure, _Clean], list[_Intervention]],
    kind: Kind,
    together: bool,
    labels: Tensor | None,
    seed: int,
) -> pd.DataFrame:
    with admitted(model, inputs) as (structure, inputs), torch.no_grad():
        explained = make_target(target, labels, len(inputs))
        if structure.reads_tokens and INPUT in set(table.iloc[:, 0]):
            raise AttrGraphError("tokens have no value to ablate; ablate the features of their embedding")
        explained.check(len(inputs), structure.output_layer.width)
        explained = explained.to(inputs.device)
        clean_pass = NetworkPass(structure)
        with known_tokens(structure):
            score = explained.score(clean_pass.run(inputs))
        check_scores(score)
        clean = _Clean(inputs, clean_pass.recording, _replacement(kind, len(inputs), seed))
        interventions = intervene(structure, clean)
        groups = [interventions] if together else [[own] for own in interventions]
        effects = [score - ablated for ablated in _ablated_scores(structure, inputs, explained, groups)]
    for effect in effects:
        if not bool(torch.isfinite(effect).all()):
            raise AttrGraphError(f"scores are not finite after an ablation by {kind!r}; take another kind")
    if together:
        effects = effects * len(table)
    return table.assign(
        effect=[float(effect.mean()) for effect in effects],
        abs_effect=[float(effect.abs().mean()) for effect in effects],
    )


def _replacement(kind: Kind, samples: int, seed: int) -> Callable[[Tensor], Tensor]:
    if kind == "zero":
        return lambda values: torch.zeros_like(values[:1])
    if kind == "mean":
        return lambda values: values.mean(dim=0, keepdim=True)
    if kind != "resample":
        raise AttrGraphError(f"unknown kind of ablation {kind!r}; known are zero, mean, resample")
    if samples < 2:
        raise AttrGraphError("resampling takes the values of other samples; give two or more")
    generator = torch.Generator().manual_seed(seed)
    # A shift along a random order: every sample gets the value of another one.
    order = torch.randperm(samples, generator=generator)
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return lambda values: values[other.to(values.device)]


def _on_neuron(structure: NetworkStructure, clean: _Clean, name: str, index: int) -> _Intervention:
    _check_neuron(structure, name, index)
    if name == INPUT:
        mask = (structure.input_map.index == index).reshape(clean.inputs.shape[1:])
        return _Intervention(INPUT, mask, clean.replace(clean.inputs))
    record = clean.recording.layers[name]
    mask = (record.layer.neurons.index == index).reshape(record.output.shape[1:])
    return _Intervention(name, mask, clean.replace(record.output))


def _on_edge(
    structure: NetworkStructure,
    clean: _Clean,
    source_layer: str,
    source_index: int,
    target_layer: str,
    target_index: int,
) -> _Intervention:
    _check_neuron(structure, source_layer, source_index)
    _check_neuron(structure, target_layer, target_index)
    offset = 0 if source_layer == INPUT else _layer(structure, source_layer).offset
    record = clean.recording.layers.get(target_layer)
    reads = () if record is None or record.layer.operation == "embedding" else record.layer.reads
    for operand, ids in enumerate(reads):
        mask = ids == offset + source_index
        if record is not None and bool(mask.any()):
            only = (record.layer.neurons.index == target_index).reshape(record.output.shape[1:])
            return _Intervention(target_layer, mask, clean.replace(record.inputs[operand]), operand, only)
    raise AttrGraphError(
        f"there is no edge to ablate from {source_layer}/{source_index} to {target_layer}/{target_index}: the layer "
        "does not read it"
    )


def _check_neuron(structure: NetworkStructure, name: str, index: int) -> None:
    widths = structure.widths
    if name not in widths:
        raise AttrGraphError(f"the network has no layer {name!r}; it has {', '.join(widths)}")
    if not 0 <= index < widths[name]:
        raise AttrGraphError(f"layer {name!r} has no neuron {index}; it has {widths[name]} (0 to {widths[name] - 1})")


def _layer(structure: NetworkStructure, name: str) -> Layer:
    return next(layer for layer in structure.layers if layer.name == name)


def _ablated_scores(
    structure: NetworkStructure, inputs: Tensor, target: Target, groups: Sequence[list[_Intervention]]
) -> list[Tensor]:
    """Scores (samples,) under each group of interventions, as many groups in a pass as fit."""
    size = max(1, ROWS_AT_ONCE // len(inputs))
    scores: list[Tensor] = []
    for start in range(0, len(groups), size):
        part = groups[start : start + size]
        ablated_pass = _AblatedPass(structure, part, len(inputs))
        repeated = ablated_pass.at_output(INPUT, inputs.repeat(len(part), *[1] * (inputs.dim() - 1)))
        logits = ablated_pass.run(repeated)
        by_group = logits.unflatten(0, (len(part), len(inputs)))
        scores += [target.score(own) for own in by_group]
    return scores


class _AblatedPass(NetworkPass):
    """Runs the samples once a group of interventions: rows are groups, then samples."""

    def __init__(self, structure: NetworkStructure, groups: Sequence[list[_Intervention]], samples: int):
        super().__init__(structure)
        self.samples = samples
        self.by_layer: dict[str, list[tuple[int, _Intervention]]] = {}
        for number, group in enumerate(groups):
            for own in group:
                self.by_layer.setdefault(own.layer, []).append((number, own))

    def at_output(self, name: str, values: Tensor) -> Tensor:
        """The output of a layer with what is ablated replaced."""
        outputs = [(number, own) for number, own in self.by_layer.get(name, ()) if own.operand is None]
        if not outputs:
            return values
        by_group = values.unflatten(0, (-1, self.samples)).clone()
        for number, own in outputs:
            by_group[number] = torch.where(own.mask.to(values.device), own.value, by_group[number])
        return by_group.flatten(0, 1)

    def at_reader(self, name: str, operands: tuple[Tensor, ...], run: Callable[..., Tensor]) -> Tensor:
        """The output of a layer, some of whose targets see an operand replaced."""
        result = run(*operands)
        for number, own in self.by_layer.get(name, ()):
            if own.operand is None or own.only is None:
                continue
            rows = slice(number * self.samples, (number + 1) * self.samples)
            seen = [values[rows] for values in operands]
            seen[own.operand] = torch.where(own.mask.to(result.device), own.value, seen[own.operand])
            # From the real operands, and the difference that this edge makes: edges of one target add up in a layer.
            change = run(*seen) - run(*(values[rows] for values in operands))
            result = result.clone()
            result[rows] += torch.where(own.only.to(result.device), change, torch.zeros_like(change))
        return self.at_output(name, result)

    def weighted(self, layer: Layer, values: Any) -> Tensor:
        return self.at_reader(layer.name, (values,), lambda read: layer.apply(read, layer.weight(), layer.bias()))

    def pass_embedding(self, node: fx.Node, arguments: Any, keywords: Any) -> Tensor:
        (layer,) = self.structure.layers_of_node[node]
        return self.at_output(layer.name, self.plain(node, arguments, keywords))

    def junction(self, node: fx.Node, arguments: Any, keywords: Any) -> Tensor:
        (layer,) = self.structure.layers_of_node[node]
        operands = tuple(torch.broadcast_tensors(*arguments[:2]))
        return self.at_reader(
            layer.name, operands, lambda *pair: self.plain(node, (*pair, *arguments[2:]), keywords)
        )  # fmt: skip
