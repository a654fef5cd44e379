"""How much of a network a targeted stage trains: a share of its neurons, or of what they cost.

Within one layer all neurons cost the same, so that `of` matters where the budget is over the network: then a neuron of
a wide input is dearer than one of a narrow one. With `coverage` every candidate trains at least once in so many stages.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError

COSTS = ("neurons", "weights", "flops", "bytes")  # see `neuron_costs`
SCOPES = ("layer", "network")

Pick = Callable[[pd.DataFrame, int], list[int]]
"""`pick(rows, count)`: values of `index`, as a policy chooses them, the strongest first."""


@dataclass(frozen=True)
class Budget:
    """`share` in (0, 1] of the candidates' `of`, in each layer or over the network.

    `coverage` stages in a row train every candidate at least once. Raises AttrGraphError for values outside these.
    """

    share: float
    of: str = "neurons"
    scope: str = "layer"
    coverage: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise AttrGraphError(
                f"the budget is {self.share}; it is the share of a layer's neurons, above 0 and at most 1"
            )
        for name, value, known in (("of", self.of, COSTS), ("scope", self.scope, SCOPES)):
            if value not in known:
                raise AttrGraphError(f"'{name}' of the budget is {value!r}; it is one of {', '.join(known)}")
        if self.coverage is not None and self.coverage < 1:
            raise AttrGraphError(f"coverage is {self.coverage}; it is a number of stages, from 1 on")


def budget_count(share: float, width: int) -> int:
    """share x width, rounded half up, and at least 1."""
    # The share as it is written: 0.29 of 50 is 14.5 and not the binary 14.499999999999998.
    return max(1, math.floor(Fraction(str(share)) * width + Fraction(1, 2)))


def choose_within(rows: pd.DataFrame, costs: np.ndarray, limit: float, coverage: int | None, pick: Pick) -> list[int]:
    """Values of `index` that `pick` prefers among `rows`, as many as cost no more than `limit`, one at least.

    `costs` has one positive number a row. With `coverage`, those that could not be trained in time otherwise come
    first, the most overdue before others (earliest deadline first); they may exceed the limit by less than one neuron.
    """
    cost_of = dict(zip(rows["index"].tolist(), costs.tolist(), strict=True))
    chosen = [] if coverage is None else _due(rows, costs, limit, coverage, pick)
    left = limit - sum(cost_of[index] for index in chosen)
    rest = rows[~rows["index"].isin(chosen)]
    if len(set(costs.tolist())) == 1:
        count = min(max(0, math.floor(left / costs[0] + 1e-9)), len(rest))
        count = max(count, 0 if chosen else 1)
        return chosen + (pick(rest, count) if count else [])
    for index in pick(rest, len(rest)) if len(rest) else []:
        if cost_of[index] <= left * (1 + 1e-9) or not chosen:
            chosen.append(index)
            left -= cost_of[index]
    return chosen


def _due(rows: pd.DataFrame, costs: np.ndarray, limit: float, coverage: int, pick: Pick) -> list[int]:
    """Those that must train now, so that in each of the next stages the rest still fits."""
    # Stages left in which a neuron can train in time, this one included.
    left = np.maximum(coverage - rows["stages_since"].to_numpy() + 1, 1)
    needed = max(float(costs[left <= stage].sum()) - (stage - 1) * limit for stage in np.unique(left))
    chosen: list[int] = []
    for stage in np.unique(left):
        group = rows[left == stage]
        cost_of = dict(zip(group["index"].tolist(), costs[left == stage].tolist(), strict=True))
        for index in pick(group, len(group)):
            if needed <= 1e-9:
                return chosen
            chosen.append(index)
            needed -= cost_of[index]
    return chosen


def check_coverage(costs: np.ndarray, limit: float, coverage: int | None, what: str) -> None:
    """Raises AttrGraphError where `coverage` stages of `limit` cannot train all of `what`."""
    if coverage is not None and costs.sum() > limit * coverage * (1 + 1e-9):
        raise AttrGraphError(
            f"the budget cannot train every neuron of {what} once in {coverage} stages: that takes "
            f"{math.ceil(costs.sum() / limit - 1e-9)}; raise 'share' or 'coverage'"
        )
