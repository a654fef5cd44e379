"""The settings of a method, chosen by its validation scores over seeds that the study does not test on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from attrgraph_core.errors import AttrGraphError


@dataclass(frozen=True)
class Choice:
    """The candidate with the best mean score, and the scores of all; a failed trial has None."""

    settings: dict[str, Any]
    scores: tuple[tuple[dict[str, Any], tuple[float | None, ...]], ...]


def candidates_of(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of a grid's values, `{"learning_rate": [...]}`; one without settings for an empty grid."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def choose_settings(
    scores: Sequence[tuple[dict[str, Any], Sequence[float | None]]], larger_is_better: bool = True
) -> Choice:
    """The best mean over seeds. A candidate with a failed trial loses to any without; the first of equals wins.

    Raises AttrGraphError where every candidate failed somewhere.
    """

    def worth(found: tuple[dict[str, Any], Sequence[float | None]]) -> float:
        values = found[1]
        if not values or any(value is None or not math.isfinite(value) for value in values):
            return -math.inf
        mean = sum(value for value in values if value is not None) / len(values)
        return mean if larger_is_better else -mean

    kept = tuple((settings, tuple(values)) for settings, values in scores)
    best = max(kept, key=worth, default=None)
    if best is None or worth(best) == -math.inf:
        raise AttrGraphError("no setting came through all trials on validation")
    return Choice(best[0], kept)
