"""From candidates to a neuron set: counts, what is always in, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.choose_neurons import budget_count, choose_neurons


@pytest.fixture
def candidates():
    """Layer fc1 with 4 neurons of influence 0, 1, 2, 3 and fc2 with 2 of influence 5, 4."""
    return pd.DataFrame(
        {
            "layer": ["fc1"] * 4 + ["fc2"] * 2,
            "index": [0, 1, 2, 3, 0, 1],
            "influence": [0.0, 1.0, 2.0, 3.0, 5.0, 4.0],
        }
    )


@pytest.mark.parametrize(
    ("budget", "width", "count"),
    [(0.5, 4, 2), (0.5, 5, 3), (0.25, 10, 3), (0.29, 50, 15), (0.1, 3, 1), (0.001, 10, 1), (1.0, 7, 7), (1, 7, 7)],
)
def test_budget_count_rounds_half_up_and_is_at_least_one(budget, width, count):
    assert budget_count(budget, width) == count


def test_chooses_a_share_of_each_layer_and_what_is_always_in(candidates):
    chosen = choose_neurons(candidates, "top_influence", 0.5, seed=0, stage=2, always={"output": range(3), "fc2": [1]})
    assert chosen.neurons == {"fc1": (2, 3), "fc2": (0, 1), "output": (0, 1, 2)}
    assert (chosen.policy, chosen.budget) == ("top_influence", 0.5)


def test_widths_count_neurons_that_are_no_candidates(candidates):
    chosen = choose_neurons(candidates, "top_influence", 0.25, seed=0, stage=2, widths={"fc1": 12, "fc2": 100})
    assert chosen.neurons == {"fc1": (1, 2, 3), "fc2": (0, 1)}


def test_random_is_redrawn_each_stage_and_repeats_for_one():
    candidates = pd.DataFrame({"layer": "fc1", "index": range(64), "influence": 1.0})
    chosen = [choose_neurons(candidates, "random", 0.25, seed=0, stage=stage).set_hash for stage in (2, 3, 2)]
    assert chosen[0] != chosen[1]
    assert chosen[0] == chosen[2]
    shuffled = candidates.sample(frac=1, random_state=0)
    assert choose_neurons(shuffled, "random", 0.25, seed=0, stage=2).set_hash == chosen[0]


@pytest.mark.parametrize("budget", [0, -0.1, 1.5, float("nan")])
def test_refuses_a_budget_that_is_no_share(candidates, budget):
    with pytest.raises(AttrGraphError, match=f"the budget is {budget}"):
        choose_neurons(candidates, "random", budget, seed=0, stage=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="influence"), "no column 'influence'"),
        (lambda table: table.head(0), "there are no candidates"),
        (lambda table: table.assign(influence=-1.0), "influence of neuron fc1/0 is -1.0"),
        (lambda table: table.assign(influence=[0, 1, np.nan, 3, 4, 5]), "influence of neuron fc1/2 is "),
        (lambda table: table.assign(gradient_norm=np.inf), "gradient_norm of neuron fc1/0 is "),
        (lambda table: table.assign(index=0), "neuron fc1/0 is among the candidates twice"),
    ],
)
def test_refuses_malformed_candidates(candidates, change, message):
    with pytest.raises(AttrGraphError) as caught:
        choose_neurons(change(candidates), "random", 0.5, seed=0, stage=2)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ([0], "chose 1 neurons of layer 'fc1', asked for 2"),
        ([0, 0], "chose a neuron of layer 'fc1' twice"),
        ([0, 9], "chose 9 of layer 'fc1', which is no candidate"),
    ],
)
def test_names_a_policy_that_chooses_wrongly(candidates, monkeypatch, choice, message):
    monkeypatch.setattr(
        "attrgraph_core.targeting.choose_neurons.load_policy", lambda name: lambda rows, count, generator: choice
    )
    with pytest.raises(AttrGraphError, match="policy 'theirs:select'") as caught:
        choose_neurons(candidates, "theirs:select", 0.5, seed=0, stage=2)
    assert message in str(caught.value)
