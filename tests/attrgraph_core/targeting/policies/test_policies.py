"""Each policy by hand-worked choices, and one contract over all of them."""

import importlib.metadata

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.policies import ENTRY_POINT_GROUP, built_in_policies, load_policy, policy_names


@pytest.fixture
def candidates():
    """Neurons 2, 4, 6, 8 of one layer; 4 and 8 have equal influence, 2 and 6 have none."""
    return pd.DataFrame(
        {
            "layer": "fc1",
            "index": [8, 6, 4, 2],
            "influence": [3.0, 0.0, 3.0, 0.0],
            "gradient_norm": [1.0, 5.0, 2.0, 5.0],
        }
    )


def choose(name, candidates, count, seed=0):
    return load_policy(name)(candidates, count, np.random.default_rng(seed))


def test_built_in_policies():
    assert built_in_policies() == ["gradient_norm", "random", "sampled_influence", "top_influence"]


def test_top_influence_takes_the_lower_index_of_equals(candidates):
    assert choose("top_influence", candidates, 1) == [4]
    assert choose("top_influence", candidates, 3) == [4, 8, 2]


def test_gradient_norm_takes_the_lower_index_of_equals(candidates):
    assert choose("gradient_norm", candidates, 3) == [2, 6, 4]


def test_gradient_norm_needs_its_column(candidates):
    with pytest.raises(AttrGraphError, match="needs a column gradient_norm"):
        choose("gradient_norm", candidates.drop(columns="gradient_norm"), 1)


def test_sampled_influence_takes_neurons_without_influence_last(candidates):
    draws = [choose("sampled_influence", candidates, 3, seed) for seed in range(50)]
    assert {frozenset(draw[:2]) for draw in draws} == {frozenset({4, 8})}
    assert {draw[2] for draw in draws} == {2, 6}


@pytest.mark.parametrize("scale", [1.0, 1e308, 5e-324])
def test_sampled_influence_is_proportional(scale):
    candidates = pd.DataFrame({"layer": "fc1", "index": [0, 1], "influence": [scale, 0.0 if scale < 1 else scale / 4]})
    draws = [choose("sampled_influence", candidates, 1, seed)[0] for seed in range(1000)]
    expected = 1.0 if scale < 1 else 0.8
    assert abs(draws.count(0) / 1000 - expected) < 4 * np.sqrt(0.2 * 0.8 / 1000)


def test_sampled_influence_without_any_influence_is_uniform(candidates):
    draws = [choose("sampled_influence", candidates.assign(influence=0.0), 1, seed)[0] for seed in range(200)]
    assert set(draws) == {2, 4, 6, 8}


@pytest.mark.parametrize("name", built_in_policies())
def test_contract(candidates, name):
    for count in range(1, 5):
        chosen = choose(name, candidates, count)
        assert len(set(chosen)) == len(chosen) == count
        assert set(chosen) <= {2, 4, 6, 8}
        assert choose(name, candidates, count) == chosen
        assert choose(name, candidates.iloc[[2, 0, 3, 1]], count) == chosen


@pytest.mark.parametrize("name", ["random", "sampled_influence"])
def test_random_policies_draw_by_their_generator(candidates, name):
    assert len({tuple(sorted(choose(name, candidates.assign(influence=1.0), 2, seed))) for seed in range(100)}) == 6


def test_finds_policies_of_other_packages_and_of_users(monkeypatch):
    point = importlib.metadata.EntryPoint(
        "theirs", "attrgraph_core.targeting.policies.random:select", ENTRY_POINT_GROUP
    )
    monkeypatch.setattr(
        "attrgraph_core.targeting.policies.entry_points",
        lambda **wanted: importlib.metadata.EntryPoints([point]).select(**wanted),
    )
    assert load_policy("theirs") is load_policy("random")
    assert policy_names()[-1] == "theirs"
    assert load_policy("attrgraph_core.targeting.policies.random:select") is load_policy("random")


def test_unknown_policy_lists_the_known_ones():
    with pytest.raises(
        AttrGraphError, match="unknown policy 'best'; known are gradient_norm, random, sampled_influence"
    ):
        load_policy("best")
