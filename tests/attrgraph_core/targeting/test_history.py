"""When neurons trained and how far they moved, from state dicts worked by hand."""

import torch

from attrgraph_core.targeting.history import history_scores, updated_history


def state(weight, bias):
    return {"fc.weight": torch.tensor(weight), "fc.bias": torch.tensor(bias), "norm.weight": torch.ones(2)}


START = state([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0])
FIRST = state([[3.0, 0.0], [1.0, 2.0]], [4.0, 2.0])  # 5 and 3 away
SECOND = state([[3.0, 0.0], [1.0, 2.0]], [4.0, 2.5])  # only the second neuron, by a half


def test_two_stages():
    first = updated_history(None, START, FIRST, None, 1)
    assert first.to_dict("list") == {
        "layer": ["fc", "fc"], "index": [0, 1], "last_stage": [1, 1], "displacement": [5.0, 3.0]
    }  # fmt: skip
    second = updated_history(first, FIRST, SECOND, {"fc": [1]}, 2)
    assert second["last_stage"].tolist() == [1, 2]
    assert second["displacement"].tolist() == [5.0, 0.5]
    scores = history_scores(second, stage=4)
    assert scores["stages_since"].tolist() == [3, 2]
    assert scores["staleness"].tolist() == [15.0, 1.0]


def test_a_layer_that_did_not_move_did_not_train_and_one_that_never_did_has_waited_longest():
    history = updated_history(None, START, START, None, 1)
    assert history["last_stage"].tolist() == [0, 0]
    history = updated_history(history, START, FIRST, {"fc": [0]}, 2)
    assert history["last_stage"].tolist() == [2, 0]
    scores = history_scores(history, stage=3)
    assert scores["stages_since"].tolist() == [1, 3]
    assert scores["staleness"].tolist() == [5.0, 15.0]  # as far as the farthest of its layer
