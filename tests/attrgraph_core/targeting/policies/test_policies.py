"""Each policy by hand-worked choices, and one contract over all of them."""

import importlib.metadata

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.policies import (
    ENTRY_POINT_GROUP,
    built_in_policies,
    load_policy,
    policy_names,
    policy_needs,
)
from attrgraph_core.targeting.policies import fisher as fisher_policy
from attrgraph_core.targeting.policy_spec import policy_name
from attrgraph_core.targeting.scores import SCORES


@pytest.fixture
def candidates():
    """Neurons 2, 4, 6, 8 of one layer; 4 and 8 have equal influence, 2 and 6 have none."""
    return pd.DataFrame(
        {
            "layer": "fc1",
            "index": [8, 6, 4, 2],
            "influence": [3.0, 0.0, 3.0, 0.0],
            "gradient_norm": [1.0, 5.0, 2.0, 5.0],
            "magnitude": [4.0, 3.0, 2.0, 1.0],
            "taylor": [0.0, 1.0, 0.0, 2.0],
            "fisher": [1.0, 1.0, 1.0, 2.0],
            "class_error": [0.0, 0.0, 1.0, 0.0],
            "stages_since": [1, 1, 3, 2],
            "staleness": [0.5, 2.0, 1.5, 1.0],
            "query_rank": [1, 2, 0, 2],
        }
    )


def choose(name, candidates, count, seed=0):
    return load_policy(name)(candidates, count, np.random.default_rng(seed))


def test_built_in_policies():
    assert built_in_policies() == [
        "class_error", "fisher", "gradient_norm", "magnitude", "query", "random", "round_robin", "sampled_influence",
        "staleness_displacement", "taylor", "top_influence",
    ]  # fmt: skip


def test_top_influence_takes_the_lower_index_of_equals(candidates):
    assert choose("top_influence", candidates, 1) == [4]
    assert choose("top_influence", candidates, 3) == [4, 8, 2]


def test_gradient_norm_takes_the_lower_index_of_equals(candidates):
    assert choose("gradient_norm", candidates, 3) == [2, 6, 4]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("magnitude", [8, 6, 4]),
        ("taylor", [2, 6, 4]),
        ("fisher", [2, 4, 6]),
        ("class_error", [4, 2, 6]),
        ("round_robin", [4, 2, 6]),
        ("staleness_displacement", [6, 4, 2]),
        ("query", [4, 8, 2]),
    ],
)
def test_ranked_by_a_column(candidates, name, expected):
    assert choose(name, candidates, 3) == expected


@pytest.mark.parametrize("name", built_in_policies())
def test_every_policy_needs_what_it_says_and_no_more(candidates, name):
    needs = policy_needs(name)
    assert needs <= set(SCORES)
    assert choose(name, candidates[["layer", "index", *sorted(needs)]], 2) == choose(name, candidates, 2)
    for column in needs - {"influence"}:  # influence is there in any table
        with pytest.raises(AttrGraphError, match=f"needs a column {column}"):
            choose(name, candidates.drop(columns=column), 1)


@pytest.mark.parametrize(
    ("spec", "count", "expected"),
    [
        # magnitude ranks 8 6 4 2; taylor 2 6 4 8; class_error 4 2 6 8.
        ({"union": ["magnitude", "taylor"]}, 2, [8, 2]),
        ({"union": ["magnitude", "taylor"]}, 3, [8, 2, 6]),
        ({"intersection": ["magnitude", "taylor"]}, 1, [6]),
        ({"intersection": ["magnitude", "taylor"]}, 2, [6, 4]),
        ({"difference": ["magnitude", "taylor"]}, 2, [8, 4]),
        ({"difference": ["magnitude", "taylor"]}, 3, [8, 6, 4]),  # one of the second's three has to be taken
        ({"inverse": "magnitude"}, 3, [2, 4, 6]),
        ({"difference": ["magnitude", {"inverse": "class_error"}]}, 1, [6]),
        ({"union": ["magnitude", "taylor", "class_error"]}, 3, [8, 2, 4]),
    ],
)
def test_combinations(candidates, spec, count, expected):
    assert choose(spec, candidates, count) == expected


def test_a_combination_is_named_and_needs_what_its_policies_need():
    spec = {"union": ["fisher", {"inverse": "staleness_displacement"}, "random"]}
    assert policy_name(spec) == "union(fisher, inverse(staleness_displacement), random)"
    assert policy_needs(spec) == {"fisher", "staleness"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"sum": ["random", "random"]},
            "is no policy: write a name, or one of union, intersection, difference, inverse",
        ),
        ({"union": ["random"], "inverse": "random"}, "is no policy"),
        ({"union": "random"}, "union combines 2 or more policies, not 1"),
        ({"inverse": ["random", "fisher"]}, "inverse combines 1 policies, not 2"),
        ({"inverse": "best"}, "unknown policy 'best'"),
    ],
)
def test_refuses_what_is_no_combination(spec, message):
    with pytest.raises(AttrGraphError, match=message):
        load_policy(spec)


def test_a_policy_from_elsewhere_says_what_it_needs(monkeypatch):
    path = "attrgraph_core.targeting.policies.fisher:select"
    assert policy_needs(path) == {"influence", "gradient_norm"}
    monkeypatch.setattr(fisher_policy.select, "needs", ("fisher",), raising=False)
    assert policy_needs(path) == {"fisher"}


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
        AttrGraphError, match="unknown policy 'best'; known are class_error, fisher, gradient_norm, magnitude"
    ):
        load_policy("best")
