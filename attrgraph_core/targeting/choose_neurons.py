"""From the neurons of a network, with their scores, to the neuron set of the next stage."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.budget import Budget, budget_count, check_coverage, choose_within
from attrgraph_core.targeting.neuron_set import NeuronSet
from attrgraph_core.targeting.policies import Policy, load_policy
from attrgraph_core.targeting.policy_spec import PolicySpec, policy_name
from attrgraph_core.targeting.scores import SCORES

KEYS = ("layer", "index")


def choose_neurons(
    candidates: pd.DataFrame,
    policy: PolicySpec,
    budget: float | Budget,
    *,
    seed: int,
    stage: int,
    widths: Mapping[str, int] | None = None,
    always: Mapping[str, Iterable[int]] | None = None,
) -> NeuronSet:
    """The neurons that `policy` chooses out of `candidates`, in each layer or over the network.

    `candidates` has a row a neuron: layer, index, influence, and whatever else the policy ranks by, all 0 or more; a
    budget of weights, flops or bytes needs a column of that name, and coverage one called `stages_since`. `policy` is a
    name or a combination of them (`policy_sets`). A number as `budget` is that share of each layer's neurons,
    `budget_count(budget, width)`, or all where there are fewer; `widths` gives a layer's width where the candidates are
    not all of its neurons. `always` are neurons, such as the outputs, that are in the set beside the budget. Random
    policies draw anew each stage: their generator is seeded by (seed, stage).
    Raises AttrGraphError for a budget outside (0, 1], candidates that are none or malformed, an unknown policy, a
    coverage that the budget cannot reach, and a policy that chooses too many, too few, twice, or something that is no
    candidate.
    """
    budget = budget if isinstance(budget, Budget) else Budget(budget)
    select = load_policy(policy)
    name = policy_name(policy)
    _check_candidates(candidates, budget)
    generator = np.random.default_rng([seed, stage])
    chosen: dict[str, set[int]] = {layer: set(indices) for layer, indices in (always or {}).items()}
    for what, rows in _groups(candidates, budget):
        pick = _CheckedPick(select, name, what, generator)
        costs, limit = _limit(rows, budget, (widths or {}).get(what))
        check_coverage(costs, limit, budget.coverage, what)
        positions = choose_within(rows, costs, limit, budget.coverage, pick)
        picked = rows[rows["index"].isin(positions)]
        for layer, index in zip(picked["layer"], picked["own_index"], strict=True):
            chosen.setdefault(str(layer), set()).add(int(index))
    return NeuronSet({layer: tuple(indices) for layer, indices in chosen.items()}, name, budget.share)


def _groups(candidates: pd.DataFrame, budget: Budget) -> Iterator[tuple[str, pd.DataFrame]]:
    """The candidates that share a budget. Over the network `index` counts them all, as two layers have the same."""
    ordered = candidates.sort_values(["layer", "index"], ignore_index=True)
    ordered["own_index"] = ordered["index"]
    if budget.scope == "network":
        yield "the network", ordered.assign(index=range(len(ordered)))
        return
    for layer, rows in ordered.groupby("layer", sort=True):
        yield str(layer), rows.reset_index(drop=True)


def _limit(rows: pd.DataFrame, budget: Budget, width: int | None) -> tuple[np.ndarray, float]:
    """What each of the rows costs, and what they may cost together."""
    if budget.of == "neurons" or budget.scope == "layer":  # within a layer all cost the same
        return np.ones(len(rows)), float(min(budget_count(budget.share, width or len(rows)), len(rows)))
    costs = rows[budget.of].to_numpy(dtype=float)
    return costs, budget.share * float(costs.sum())


def _check_candidates(candidates: pd.DataFrame, budget: Budget) -> None:
    needed = [*KEYS, "influence", *(["stages_since"] if budget.coverage else [])]
    if budget.of != "neurons" and budget.scope == "network":
        needed.append(budget.of)
    missing = [column for column in needed if column not in candidates]
    if missing:
        raise AttrGraphError(f"the candidates have no column {missing[0]!r}; they have {', '.join(candidates.columns)}")
    if candidates.empty:
        raise AttrGraphError("there are no candidates to choose neurons from; the query returned no rows")
    for score in [column for column in candidates if column in SCORES or column == budget.of]:
        values = pd.to_numeric(candidates[score], errors="coerce").to_numpy(dtype=float)
        lowest = np.nextafter(0, 1) if score == budget.of else 0.0
        wrong = np.flatnonzero(~(np.isfinite(values) & (values >= lowest)))
        if len(wrong):
            row = candidates.iloc[wrong[0]]
            raise AttrGraphError(
                f"{score} of neuron {row['layer']}/{row['index']} is {row[score]}; it must be a number "
                + ("above 0" if lowest else "from 0 on")
            )
    repeated = candidates[candidates.duplicated(list(KEYS))]
    if len(repeated):
        row = repeated.iloc[0]
        raise AttrGraphError(
            f"neuron {row['layer']}/{row['index']} is among the candidates twice; let the query sum it"
        )


class _CheckedPick:
    """A policy with its generator, whose choices are checked."""

    def __init__(self, select: Policy, policy: str, layer: str, generator: np.random.Generator) -> None:
        self.select, self.policy, self.layer, self.generator = select, policy, layer, generator

    def __call__(self, rows: pd.DataFrame, count: int) -> list[int]:
        # A copy, so that a policy that sorts in place or adds columns changes nothing for the check.
        indices = list(self.select(rows.drop(columns="own_index").copy(), count, self.generator))
        policy, layer = self.policy, self.layer
        if len(indices) != count:
            raise AttrGraphError(
                f"policy {policy!r} chose {len(indices)} neurons of layer {layer!r}, asked for {count}"
            )
        if len(set(indices)) != count:
            raise AttrGraphError(f"policy {policy!r} chose a neuron of layer {layer!r} twice: {sorted(indices)}")
        unknown = set(indices).difference(rows["index"].tolist())
        if unknown:
            raise AttrGraphError(f"policy {policy!r} chose {min(unknown)} of layer {layer!r}, which is no candidate")
        return [int(index) for index in indices]
