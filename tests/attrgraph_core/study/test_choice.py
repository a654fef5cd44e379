"""Choosing settings by validation."""

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.study.choice import candidates_of, choose_settings


def test_a_grid_is_all_combinations():
    assert candidates_of({"a": [1, 2], "b": ["x"]}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]
    assert candidates_of({}) == [{}]


def test_the_best_mean_wins_and_the_first_of_equals():
    scores = [({"a": 1}, [0.5, 0.75]), ({"a": 2}, [0.75, 0.5]), ({"a": 3}, [0.9, 0.1])]
    assert choose_settings(scores).settings == {"a": 1}
    assert choose_settings(scores, larger_is_better=False).settings == {"a": 3}


def test_a_failed_trial_loses_and_is_kept():
    choice = choose_settings([({"a": 1}, [0.99, None]), ({"a": 2}, [0.1, 0.1])])
    assert choice.settings == {"a": 2}
    assert choice.scores[0] == ({"a": 1}, (0.99, None))
    with pytest.raises(AttrGraphError, match="no setting came through"):
        choose_settings([({"a": 1}, [None]), ({"a": 2}, [float("nan")])])
