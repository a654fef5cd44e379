"""What every attribution method says of itself, whether it makes edges or neurons only."""

from abc import ABC
from dataclasses import dataclass

from attrgraph_core.attribution.structure import NetworkStructure

# Of a layer's output, where a sample is several rows: 8 MiB in float32. Memory of more than 32 MiB is fetched anew
# from the system for every tensor, which costs as much as the arithmetic.
ELEMENTS_AT_ONCE = 1 << 21


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

    def samples_at_once(self, structure: NetworkStructure, background_count: int) -> int | None:
        """How many samples of a batch to take at once where they are several rows each; None for all."""
        rows = self.rows_per_sample(background_count)
        return None if rows == 1 else max(1, ELEMENTS_AT_ONCE // (rows * structure.largest_output))

    def obstacles(self, structure: NetworkStructure) -> list[Obstacle]:
        """Why the method is not for this network; empty where it is."""
        return []

    def omissions(self, structure: NetworkStructure) -> list[Obstacle]:
        """What its graph of this network does not show."""
        return []
