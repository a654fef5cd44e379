"""The neuron set: which neurons a targeted stage trains."""

import hashlib
import json
import operator
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from attrgraph_core.errors import AttrGraphError


@dataclass(frozen=True)
class NeuronSet:
    """Neurons by layer, `{"fc1": (3, 17)}`, with the policy and the budget (share of a layer) that chose them.

    `scoring_flops` are those of the scores that they were chosen by, where somebody counted them.
    Layers and indices are kept sorted. Raises AttrGraphError for an empty set, a layer without neurons, and an index
    that is negative, given twice or not a whole number; whether the network has them, `target_neurons` checks.
    """

    neurons: dict[str, tuple[int, ...]]
    policy: str
    budget: float
    scoring_flops: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "neurons", sorted_neurons(self.neurons))

    @property
    def size(self) -> int:
        """How many neurons."""
        return sum(len(indices) for indices in self.neurons.values())

    @property
    def set_hash(self) -> str:
        """16 hexadecimal digits of SHA-256 over the neurons alone: another policy's same choice has the same hash."""
        return hashlib.sha256(json.dumps(self.neurons, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "NeuronSet":
        """The set that `to_json` wrote; AttrGraphError where the text is something else."""
        try:
            content: dict[str, Any] = json.loads(text)
            flops = content.get("scoring_flops")
            return NeuronSet(
                dict(content["neurons"]), str(content["policy"]), float(content["budget"]),
                None if flops is None else int(flops),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AttrGraphError(f"no neuron set in JSON ({type(error).__name__}: {error}): {text[:80]!r}") from error


def sorted_neurons(neurons: Mapping[str, Iterable[int]], what: str = "neuron") -> dict[str, tuple[int, ...]]:
    """Layers and indices in order, indices as plain ints; raises as `NeuronSet`, calling an index `what`."""
    if not neurons:
        raise AttrGraphError(f"the {what} set is empty; name at least one {what}")
    return {layer: _sorted_indices(layer, neurons[layer], what) for layer in sorted(neurons)}


def _sorted_indices(layer: str, given: Iterable[int], what: str) -> tuple[int, ...]:
    indices: list[int] = []
    for index in given:
        try:
            indices.append(operator.index(index))
        except TypeError:
            raise AttrGraphError(f"{what} {index!r} of layer {layer!r} is not a whole number") from None
    if not indices:
        raise AttrGraphError(f"layer {layer!r} is named without a {what}; leave it out, or name at least one")
    for position, index in enumerate(sorted_indices := sorted(indices)):
        if index < 0:
            raise AttrGraphError(f"{what} {index} of layer {layer!r} is negative; {what}s count from 0")
        if position and sorted_indices[position - 1] == index:
            raise AttrGraphError(f"{what} {index} of layer {layer!r} is named twice")
    return tuple(sorted_indices)
