"""Optimizer state by neuron, so that a neuron that is selected again goes on where it was.

An optimizer keeps tensors shaped like a parameter (momentum, Adam's moments), of which each neuron owns its rows, and
single numbers (Adam's count of steps), which each neuron of the parameter has. Neurons with different counts cannot
share a leaf: `groups` tells `target_neurons` how to cut it. So every neuron has the very optimizer that it would have
had if the stages in between, in which it stood still, had not been.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.active_parameter import ActiveParameter
from attrgraph_core.targeting.layer_kinds import LinearLayer, TargetedLayer, is_out_projection
from attrgraph_core.targeting.target_neurons import KINDS, TargetedModel
from attrgraph_core.training.weights import load_weights, save_weights

NEURONS = "neurons"  # which neurons the rows of the other entries belong to
NUMBER = "number "  # before the name of an entry that is one number a neuron


class OptimizerArchive:
    """State of neurons by optimizer, parameter and name: (neurons, numbers), or (neurons,) of single numbers.

    Of another class of optimizer a neuron has no state, and begins anew.
    """

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Tensor]] = {}  # "AdamW/fc1.weight" -> exp_avg, ..., neurons

    @staticmethod
    def load(path: Path) -> "OptimizerArchive":
        """What `save` wrote; AttrGraphError where it is missing or damaged."""
        archive = OptimizerArchive()
        for name, tensor in load_weights(path).items():
            key, _, entry = name.rpartition("/")
            archive._entries.setdefault(key, {})[entry] = tensor
        return archive

    def save(self, path: Path) -> None:
        """Write a safetensors file; a reader finds the old one or the new one, whole."""
        save_weights(
            path, {f"{key}/{entry}": tensor for key, own in self._entries.items() for entry, tensor in own.items()}
        )

    def groups(self, layer: str, neurons: Sequence[int]) -> list[list[int]]:
        """`neurons` of a layer in parts that can share a leaf, those without state first."""
        parts: dict[tuple[object, ...], list[int]] = {}
        histories = [self._histories(key, own) for key, own in self._entries.items() if _layer_of(key) == layer]
        for neuron in neurons:
            parts.setdefault(tuple(history.get(neuron) for history in histories), []).append(neuron)
        return [parts[history] for history in sorted(parts, key=repr)]

    def keep(self, trained: TargetedModel | nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Take the state of all that `optimizer` trains of a targeted model, or of a whole one.

        Of a whole model, parameters outside of layers with neurons are left out.
        Raises AttrGraphError for state that no neuron owns: a columns' choice, or an optimizer that factorises.
        """
        kept = {
            f"{type(optimizer).__name__}/{name}": _state_by_neuron(name, layer, active, optimizer)
            for name, layer, active in _active_parameters(trained)
        }
        for key, own in kept.items():
            if own:
                self._entries[key] = _merged(self._entries.get(key), own)

    def restore(
        self, trained: TargetedModel | nn.Module, optimizer: torch.optim.Optimizer, *, mixed_begin_anew: bool = False
    ) -> int:
        """Give `optimizer`, before its first step, what is kept of the neurons it trains; how many leaves got some.

        A leaf whose neurons took different numbers of steps has no state; it begins anew, or AttrGraphError is raised.
        """
        restored = 0
        for name, layer, active in _active_parameters(trained):
            own = self._entries.get(f"{type(optimizer).__name__}/{name}")
            if own is None:
                continue
            places = {neuron: place for place, neuron in enumerate(own[NEURONS].tolist())}
            for leaf, neurons in zip(active.leaves, _neurons_of_leaves(layer), strict=True):
                known = [places[neuron] for neuron in neurons if neuron in places]
                if not known or not leaf.requires_grad:
                    continue
                if not _are_alike(own, known, len(neurons)):
                    if mixed_begin_anew:
                        continue
                    raise AttrGraphError(
                        f"neurons of {name!r} took different numbers of steps and cannot share one optimizer state; "
                        "give the archive to target_neurons, for a whole network with all its neurons"
                    )
                optimizer.state[leaf] = _state_of(own, known, active, leaf, optimizer)
                restored += 1
        return restored

    def _histories(self, key: str, own: dict[str, Tensor]) -> dict[int, object]:
        """By neuron, what must be alike in a leaf."""
        numbers = [tensor.tolist() for entry, tensor in sorted(own.items()) if entry.startswith(NUMBER)]
        rows = zip(*numbers, strict=True) if numbers else (() for _ in own[NEURONS])
        return dict(zip(own[NEURONS].tolist(), ((key, *row) for row in rows), strict=True))


def _active_parameters(trained: TargetedModel | nn.Module) -> Iterator[tuple[str, TargetedLayer, ActiveParameter]]:
    for layer in trained.layers if isinstance(trained, TargetedModel) else _all_neurons(trained):
        for parameter_name, active in layer.active.items():
            yield f"{layer.name}.{parameter_name}".removeprefix("."), layer, active


def _all_neurons(model: nn.Module) -> Iterator[TargetedLayer]:
    for name, module in model.named_modules():
        kind = LinearLayer if is_out_projection(module) else KINDS.get(type(module))
        if kind is not None and getattr(module, "weight", getattr(module, "in_proj_weight", None)) is not None:
            count = kind(name, module, (), ()).neuron_count
            yield kind(name, module, range(count), (count,))


def _neurons_of_leaves(layer: TargetedLayer) -> Iterable[tuple[int, ...]]:
    start = 0
    for size in layer.sizes:
        yield layer.order[start : start + size]
        start += size


def _state_by_neuron(
    name: str, layer: TargetedLayer, active: ActiveParameter, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    if active.columns is not None:
        raise AttrGraphError(f"only some columns of {name!r} train; their optimizer state cannot be kept by neuron")
    whole: dict[str, Tensor] = {}
    for leaf, neurons in zip(active.leaves, _neurons_of_leaves(layer), strict=True):
        own = {entry: value for entry, value in optimizer.state.get(leaf, {}).items() if value is not None}
        if own:
            table = {NEURONS: torch.tensor(neurons)}
            for entry, value in own.items():
                table.update(_table(name, entry, value, active, leaf, len(neurons)))
            whole = _merged(whole or None, table)
    return whole


def _table(
    name: str, entry: str, value: object, active: ActiveParameter, leaf: Tensor, count: int
) -> dict[str, Tensor]:
    if isinstance(value, Tensor) and value.shape == leaf.shape:
        return {entry: active.by_neuron(value.detach(), count).cpu().clone()}
    if isinstance(value, Tensor) and value.dim() == 0:
        return {NUMBER + entry: value.detach().cpu().expand(count).clone()}
    raise AttrGraphError(
        f"state {entry!r} that the optimizer keeps of {name!r} belongs to no neuron; it can be kept of SGD, Adam, "
        "AdamW and others that have a number a weight"
    )


def _merged(old: dict[str, Tensor] | None, new: dict[str, Tensor]) -> dict[str, Tensor]:
    """Both tables, sorted by neuron; where both have one, the new row."""
    if old is None or old.keys() != new.keys():
        return new
    replaced = torch.isin(old[NEURONS], new[NEURONS])
    neurons = torch.cat([old[NEURONS][~replaced], new[NEURONS]])
    order = neurons.argsort()
    return {
        entry: neurons[order] if entry == NEURONS else torch.cat([old[entry][~replaced], new[entry]])[order]
        for entry in new
    }


def _are_alike(own: dict[str, Tensor], known: list[int], count: int) -> bool:
    numbers = [tensor[known] for entry, tensor in own.items() if entry.startswith(NUMBER)]
    return len(known) == count and not any((values != values[0]).any() for values in numbers)


def _state_of(
    own: dict[str, Tensor], known: list[int], active: ActiveParameter, leaf: nn.Parameter,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Tensor]:  # fmt: skip
    group = next(group for group in optimizer.param_groups if any(leaf is other for other in group["params"]))
    on_device = group.get("fused") or group.get("capturable")
    state: dict[str, Tensor] = {}
    for entry, table in own.items():
        if entry == NEURONS:
            continue
        if entry.startswith(NUMBER):
            state[entry.removeprefix(NUMBER)] = table[known[0]].clone().to(leaf.device if on_device else "cpu")
        else:
            rows = table[known].to(leaf.device)
            state[entry] = active.from_neurons(rows, leaf).clone(memory_format=torch.preserve_format)
    return state


def _layer_of(key: str) -> str:
    parameter = key.partition("/")[2]
    return parameter.rpartition(".")[0]
