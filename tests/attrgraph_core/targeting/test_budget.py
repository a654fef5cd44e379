"""Budgets in other units, over the network, and with a coverage; choices worked by hand."""

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.budget import Budget
from attrgraph_core.targeting.choose_neurons import choose_neurons


@pytest.fixture
def candidates():
    """fc1: 4 neurons of 10 weights, fc2: 2 of 5; fc2/0 has the largest influence, then fc1/3, fc1/2, fc2/1, ..."""
    return pd.DataFrame(
        {
            "layer": ["fc1"] * 4 + ["fc2"] * 2,
            "index": [0, 1, 2, 3, 0, 1],
            "influence": [0.0, 1.0, 4.0, 5.0, 6.0, 3.0],
            "weights": [10] * 4 + [5] * 2,
            "flops": [8] * 4 + [32] * 2,
            "bytes": [160] * 4 + [80] * 2,
        }
    )


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(0.5, scope="network"), {"fc1": (2, 3), "fc2": (0,)}),
        # 25 of 50: 5 for fc2/0, 10 and 10 for fc1/3 and fc1/2.
        (Budget(0.5, "weights", "network"), {"fc1": (2, 3), "fc2": (0,)}),
        # 15 of 50: fc2/0 and fc1/3, then nothing is left.
        (Budget(0.3, "weights", "network"), {"fc1": (3,), "fc2": (0,)}),
        # 12.5 of 50: fc2/0; fc1/3 and fc1/2 do not fit; fc2/1 does.
        (Budget(0.25, "bytes", "network"), {"fc2": (0, 1)}),
        # 48 of 96: 32 for fc2/0, 8 and 8 for fc1/3 and fc1/2.
        (Budget(0.5, "flops", "network"), {"fc1": (2, 3), "fc2": (0,)}),
        (Budget(0.5, "flops", "layer"), {"fc1": (2, 3), "fc2": (0,)}),
        (Budget(0.01, "weights", "network"), {"fc2": (0,)}),  # one neuron at least
        (Budget(1.0, "weights", "network"), {"fc1": (0, 1, 2, 3), "fc2": (0, 1)}),
    ],
)
def test_shares_of_neurons_weights_flops_and_bytes(candidates, budget, expected):
    assert choose_neurons(candidates, "top_influence", budget, seed=0, stage=2).neurons == expected


@pytest.mark.parametrize("of", ["neurons", "weights"])
@pytest.mark.parametrize("scope", ["layer", "network"])
@pytest.mark.parametrize(("policy", "coverage"), [("top_influence", 4), ("random", 3), ("round_robin", 4)])
def test_coverage_trains_every_neuron_in_so_many_stages(of, scope, policy, coverage):
    """Also where all were trained in the same stage, and a policy that wants the same ones again and again."""
    widths = {"fc1": 17, "fc2": 5}
    candidates = pd.DataFrame([(layer, index) for layer, width in widths.items() for index in range(width)])
    candidates.columns = ["layer", "index"]
    candidates["influence"] = np.arange(len(candidates), dtype=float)
    candidates["weights"] = candidates["layer"].map({"fc1": 3, "fc2": 17})
    last = pd.Series(1, index=candidates.index)
    budget = Budget(0.4, of, scope, coverage)
    limit = 0.4 * candidates["weights"].sum()
    for stage in range(2, 20):
        candidates["stages_since"] = stage - last
        assert candidates["stages_since"].max() <= coverage
        chosen = choose_neurons(candidates, policy, budget, seed=0, stage=stage).neurons
        trained = [
            index in chosen.get(layer, ())
            for layer, index in zip(candidates["layer"], candidates["index"], strict=True)
        ]
        last[trained] = stage
        if scope == "layer":
            assert {layer: len(indices) for layer, indices in chosen.items()} == {"fc1": 7, "fc2": 2}
        elif of == "weights":
            assert candidates["weights"][trained].sum() < limit + 17


def test_coverage_takes_the_most_overdue_and_leaves_the_rest_to_the_policy(candidates):
    fc1 = candidates[candidates["layer"] == "fc1"].assign(stages_since=[1, 3, 2, 1])
    chosen = choose_neurons(fc1, "top_influence", Budget(0.5, coverage=3), seed=0, stage=5)
    assert chosen.neurons == {"fc1": (1, 3)}  # 1 is due; 3 is the most influential


def test_refuses_a_coverage_that_cannot_be_reached(candidates):
    with pytest.raises(AttrGraphError, match="every neuron of fc1 once in 3 stages: that takes 4; raise"):
        choose_neurons(
            candidates.assign(stages_since=1), "random", Budget(0.25, coverage=3), seed=0, stage=2
        )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "the budget is 0.0"),
        ((0.5, "time"), "'of' of the budget is 'time'; it is one of neurons, weights, flops, bytes"),
        ((0.5, "weights", "world"), "'scope' of the budget is 'world'; it is one of layer, network"),
        ((0.5, "weights", "layer", 0), "coverage is 0"),
    ],
)
def test_refuses_a_budget_that_is_none(arguments, message):
    with pytest.raises(AttrGraphError, match=message):
        Budget(*arguments)


def test_needs_the_columns_of_its_unit(candidates):
    with pytest.raises(AttrGraphError, match="no column 'flops'"):
        choose_neurons(
            candidates.drop(columns="flops"), "random", Budget(0.5, "flops", "network"), seed=0, stage=2
        )  # fmt: skip
    with pytest.raises(AttrGraphError, match="no column 'stages_since'"):
        choose_neurons(candidates, "random", Budget(0.5, coverage=2), seed=0, stage=2)
    with pytest.raises(AttrGraphError, match="flops of neuron fc1/0 is 0; it must be a number above 0"):
        choose_neurons(candidates.assign(flops=0), "random", Budget(0.5, "flops", "network"), seed=0, stage=2)
