"""Sets of policies: union, intersection, difference and inverse, always of exactly as many neurons as were asked for.

A policy ranks the candidates. The first m of two rankings, for the smallest m whose union (or intersection) is large
enough, are what is chosen: a neuron's place in the union is its best rank, in the intersection its worst. So all
combinations cost the same to train, and can be compared.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

Select = Callable[[pd.DataFrame, int, np.random.Generator], list[int]]


def _rankings(
    policies: Sequence[Select], candidates: pd.DataFrame, generator: np.random.Generator
) -> list[dict[int, int]]:
    """By policy, the place of each neuron, the preferred one 0."""
    return [
        {int(index): place for place, index in enumerate(select(candidates.copy(), len(candidates), generator))}
        for select in policies
    ]


def union(policies: Sequence[Select]) -> Select:
    """Those that any policy ranks high; at equal best ranks, those of the policy named first."""

    def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
        ranks = _rankings(policies, candidates, generator)
        return sorted(ranks[0], key=lambda index: min((own[index], k) for k, own in enumerate(ranks)))[:count]

    return select


def intersection(policies: Sequence[Select]) -> Select:
    """Those that all policies rank high; at equal worst ranks, those that the policy named first prefers."""

    def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
        ranks = _rankings(policies, candidates, generator)
        return sorted(ranks[0], key=lambda index: (max(own[index] for own in ranks), ranks[0][index]))[:count]

    return select


def difference(policies: Sequence[Select]) -> Select:
    """Those that the first policy ranks high, without the `count` first of any other; these only where no more are."""

    def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
        ranks = _rankings(policies, candidates, generator)
        taken = {index for own in ranks[1:] for index, place in own.items() if place < count}
        return sorted(ranks[0], key=lambda index: (index in taken, ranks[0][index]))[:count]

    return select


def inverse(policies: Sequence[Select]) -> Select:
    """Those that the policy ranks last: what is not important trains, and what is stays as it is."""

    def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
        (ranks,) = _rankings(policies, candidates, generator)
        return sorted(ranks, key=lambda index: -ranks[index])[:count]

    return select


COMBINATIONS: dict[str, Callable[[Sequence[Select]], Select]] = {
    "union": union, "intersection": intersection, "difference": difference, "inverse": inverse,
}  # fmt: skip
