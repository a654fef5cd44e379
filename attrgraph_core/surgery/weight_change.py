"""What an operation changed of a network's weights, so that it can be undone bit for bit.

Kept are the places that differ and what stood there before, with the hashes of the whole network before and after: on
other weights than those it left the change is not undone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.weights import load_weights, save_weights, weights_hash

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes, to compare bits


@dataclass(frozen=True, eq=False)
class WeightChange:
    """Places (in the order of the elements) and former values by the state dict's names, and hashes of all of it."""

    positions: dict[str, Tensor]
    values: dict[str, Tensor]
    hash_before: str
    hash_after: str

    @property
    def count(self) -> int:
        """How many numbers changed."""
        return sum(len(places) for places in self.positions.values())

    @classmethod
    def between(cls, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> "WeightChange":
        """The change from one state dict to another of the same names and shapes."""
        if before.keys() != after.keys() or any(before[name].shape != after[name].shape for name in before):
            raise AttrGraphError("the weights before and after are not those of one network")
        positions: dict[str, Tensor] = {}
        values: dict[str, Tensor] = {}
        for name, old in before.items():
            flat, new = old.detach().cpu().reshape(-1), after[name].detach().cpu().reshape(-1)
            changed = (_bits(flat) != _bits(new)).nonzero().squeeze(1)
            if len(changed):
                positions[name], values[name] = changed, flat[changed].clone()
        return cls(positions, values, weights_hash(before), weights_hash(after))

    def undo(self, model: nn.Module) -> None:
        """Put the former values back, in place. Raises as `undone`, and then changes nothing."""
        state = model.state_dict()
        with torch.no_grad():
            for name, value in self.undone(state).items():
                if name in self.positions:
                    state[name].copy_(value)

    def undone(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of before, on the CPU, from that of after.

        Raises AttrGraphError for weights that are not those that the change left.
        """
        if weights_hash(state) != self.hash_after:
            raise AttrGraphError(
                "the weights are not those that the operation left, so it cannot be undone on them; load the weights "
                "of after the operation, or undo first what was done since"
            )
        restored = {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
        for name, places in self.positions.items():
            restored[name][torch.unravel_index(places, restored[name].shape)] = self.values[name]
        assert weights_hash(restored) == self.hash_before
        return restored

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        tensors = {f"positions/{name}": places for name, places in self.positions.items()}
        tensors |= {f"values/{name}": values for name, values in self.values.items()}
        hashes = {"hash_before": self.hash_before, "hash_after": self.hash_after}
        save_weights(path, tensors | {name: torch.tensor(list(bytes.fromhex(text))) for name, text in hashes.items()})

    @staticmethod
    def load(path: Path) -> "WeightChange":
        """What `save` wrote; AttrGraphError where it is missing or damaged."""
        tensors = load_weights(path)
        if not {"hash_before", "hash_after"} <= tensors.keys():
            raise AttrGraphError(f"{path} holds weights, and no change of weights that could be undone")
        hashes = {name: bytes(tensors.pop(name).tolist()).hex() for name in ("hash_before", "hash_after")}
        parts = {
            kind: {name.partition("/")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"{kind}/")}
            for kind in ("positions", "values")
        }
        return WeightChange(parts["positions"], parts["values"], hashes["hash_before"], hashes["hash_after"])


def copy_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's state dict, on the CPU."""
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}


def _bits(values: Tensor) -> Tensor:
    return values.contiguous().view(INTEGERS[values.element_size()])
