"""What every attribution method says of itself, whether it makes edges or neurons only."""

import math
from abc import ABC
from dataclasses import dataclass

from attrgraph_core.attribution.structure import NetworkStructure

# Of all layers' outputs, where a sample is several rows: 10 MiB in float32. With gradients and what lies between layers
# a pass then stays within what the allocator keeps; memory fetched anew from the system costs a fifth more time.
ELEMENTS_AT_ONCE = 5 << 19


@dataclass(frozen=True)
class Obstacle:
    """What a method cannot handle, or does not show, in a network: where, why, and what to change."""

    place: str
    what: str
    change: str


class Method(ABC):
    """One way to share a target score among neurons. `name` is what graphs and queries call it."""

    name: str
    uses_baseline: bool
    """Whether attributions are relative to a baseline; they then explain the score's difference from it."""
    fewest_baselines: int = 1
    """How many inputs the baseline must be: more than one where the method needs a background set."""
    holds_context: bool = False
    """Whether attention weights and a sample's own statistics are held constant, and not differentiated through."""
    largest_gap: float | None = None
    """What attributions may miss of the mean score where they add up in any network; None where they need not."""
    when_incomplete: str = ""
    """Why they may miss more, and the way out."""

    def rows_per_sample(self, background_count: int) -> int:
        """How many rows a sample takes in the largest pass."""
        return 1

    def samples_at_once(self, structure: NetworkStructure, background_count: int, sample_count: int) -> int:
        """How many of a batch's samples to take at once: all, or equal parts that fit where each is several rows."""
        rows = self.rows_per_sample(background_count)
        if rows == 1:
            return sample_count
        fitting = max(1, ELEMENTS_AT_ONCE // (rows * structure.output_elements))
        return math.ceil(sample_count / math.ceil(sample_count / fitting))

    def obstacles(self, structure: NetworkStructure) -> list[Obstacle]:
        """Why the method is not for this network; empty where it is."""
        return []

    def omissions(self, structure: NetworkStructure) -> list[Obstacle]:
        """What its graph of this network does not show."""
        return []
