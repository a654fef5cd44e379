"""From the neurons of a graph, with their influence, to the neuron set of the next stage."""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.neuron_set import NeuronSet
from attrgraph_core.targeting.policies import Policy, load_policy

SCORES = ("influence", "gradient_norm")


def choose_neurons(
    candidates: pd.DataFrame,
    policy: str,
    budget: float,
    *,
    seed: int,
    stage: int,
    widths: Mapping[str, int] | None = None,
    always: Mapping[str, Iterable[int]] | None = None,
) -> NeuronSet:
    """The neurons that `policy` chooses out of `candidates`, layer by layer.

    `candidates` has a row a neuron: layer, index, influence (0 or more), maybe gradient_norm (0 or more) and others.
    Of each layer `budget_count(budget, width)` are chosen, or all where there are fewer; `widths` gives a layer's
    width where the candidates are not all of its neurons. `always` are neurons, such as the outputs, that are in the
    set beside the budget. Random policies draw anew each stage: their generator is seeded by (seed, stage).
    Raises AttrGraphError for a budget outside (0, 1], candidates that are none or malformed, an unknown policy, and a
    policy that chooses too many, too few, twice, or something that is no candidate.
    """
    if not 0 < budget <= 1:
        raise AttrGraphError(f"the budget is {budget}; it is the share of a layer's neurons, above 0 and at most 1")
    select = load_policy(policy)
    _check_candidates(candidates)
    generator = np.random.default_rng([seed, stage])
    chosen: dict[str, set[int]] = {layer: set(indices) for layer, indices in (always or {}).items()}
    for layer, rows in candidates.groupby("layer", sort=True):
        layer_candidates = rows.sort_values("index", ignore_index=True)
        width = (widths or {}).get(str(layer), len(rows))
        count = min(budget_count(budget, width), len(rows))
        indices = _checked_choice(select, policy, str(layer), layer_candidates, count, generator)
        chosen.setdefault(str(layer), set()).update(indices)
    return NeuronSet({layer: tuple(indices) for layer, indices in chosen.items()}, policy, budget)


def budget_count(budget: float, width: int) -> int:
    """budget x width, rounded half up, and at least 1."""
    # The budget as it is written: 0.29 of 50 is 14.5 and not the binary 14.499999999999998.
    return max(1, math.floor(Fraction(str(budget)) * width + Fraction(1, 2)))


def _check_candidates(candidates: pd.DataFrame) -> None:
    missing = [column for column in ("layer", "index", "influence") if column not in candidates]
    if missing:
        raise AttrGraphError(f"the candidates have no column {missing[0]!r}; they have {', '.join(candidates.columns)}")
    if candidates.empty:
        raise AttrGraphError("there are no candidates to choose neurons from; the query returned no rows")
    for score in SCORES:
        if score not in candidates:
            continue
        values = pd.to_numeric(candidates[score], errors="coerce").to_numpy(dtype=float)
        wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if len(wrong):
            row = candidates.iloc[wrong[0]]
            raise AttrGraphError(
                f"{score} of neuron {row['layer']}/{row['index']} is {row[score]}; it must be a number from 0 on"
            )
    repeated = candidates[candidates.duplicated(["layer", "index"])]
    if len(repeated):
        row = repeated.iloc[0]
        raise AttrGraphError(
            f"neuron {row['layer']}/{row['index']} is among the candidates twice; let the query sum it"
        )


def _checked_choice(
    select: Policy, policy: str, layer: str, candidates: pd.DataFrame, count: int, generator: np.random.Generator
) -> list[int]:
    # A copy, so that a policy that sorts in place or adds columns changes nothing for the check.
    indices = list(select(candidates.copy(), count, generator))
    if len(indices) != count:
        raise AttrGraphError(f"policy {policy!r} chose {len(indices)} neurons of layer {layer!r}, asked for {count}")
    if len(set(indices)) != count:
        raise AttrGraphError(f"policy {policy!r} chose a neuron of layer {layer!r} twice: {sorted(indices)}")
    unknown = set(indices).difference(candidates["index"].tolist())
    if unknown:
        raise AttrGraphError(f"policy {policy!r} chose {min(unknown)} of layer {layer!r}, which is no candidate")
    return [int(index) for index in indices]
