"""Tables of accuracy under attack, and epochs at which methods are alike."""

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.robustness.attack import FGSM
from attrgraph_core.robustness.robust_accuracy import (
    accuracy,
    matched_epochs,
    nearest_epoch,
    robust_accuracy,
    value_range,
)
from attrgraph_core.training.data import load_data


def test_accuracy_falls_with_epsilon_and_begins_clean(digits_network):
    model, inputs, labels = digits_network
    table = robust_accuracy(model, inputs, labels, [0.0, 0.05, 0.1, 0.2], value_range=(0.0, 1.0))
    assert table["epsilon"].tolist() == [0.0, 0.05, 0.1, 0.2]
    assert table["accuracy"].is_monotonic_decreasing
    assert table["accuracy"][0] == accuracy(model, inputs, labels) > 0.9
    assert table["accuracy"][3] < 0.1
    weaker = robust_accuracy(model, inputs, labels, [0.1], attack=FGSM, value_range=(0.0, 1.0))
    assert weaker["accuracy"][0] > table["accuracy"][2]


def test_range_is_that_of_all_inputs():
    assert value_range(load_data("digits")) == (0.0, 1.0)
    low, high = value_range(load_data("mnist1d", {"samples": 100}))
    assert low < 0 < high


def test_methods_are_compared_at_the_best_that_all_reach():
    curves = {"full": [0.1, 0.5, 0.9, 0.95], "slow": [0.1, 0.4, 0.7, 0.6], "thin": [0.7, 0.7, 0.8]}
    # Of 0.7: full is nearest at 0.5 and 0.9, as near, and the first of them counts.
    assert matched_epochs(curves) == {"full": 1, "slow": 2, "thin": 0}
    assert nearest_epoch([0.1, 0.5, 0.9], 0.8) == 2
    with pytest.raises(AttrGraphError, match="no epoch of 'none' to match"):
        matched_epochs({"none": []})
    with pytest.raises(AttrGraphError, match="no method to match"):
        matched_epochs({})
