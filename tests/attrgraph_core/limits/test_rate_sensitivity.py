"""Sensitivity to the learning rate, worked by hand."""

import math

import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.limits.rate_sensitivity import rate_sensitivity

RATES = [0.001, 0.01, 0.1, 1.0]


def results(**accuracies):
    rows = [
        (method, rate, value)
        for method, values in accuracies.items()
        for rate, value in zip(RATES, values, strict=False)
    ]
    return pd.DataFrame(rows, columns=["method", "learning_rate", "accuracy"])


def test_what_other_rates_lose_and_how_far_the_usable_ones_reach():
    table = rate_sensitivity(results(flat=[0.79, 0.8, 0.79, 0.7], steep=[0.8, 0.2, 0.9, math.nan]))
    assert list(table.columns) == ["method", "best_rate", "best_accuracy", "sensitivity", "usable_decades"]
    flat, steep = table.itertuples(index=False)
    assert (flat.method, flat.best_rate, flat.best_accuracy) == ("flat", 0.01, 0.8)
    assert flat.sensitivity == pytest.approx((0.01 + 0 + 0.01 + 0.1) / 4)
    assert flat.usable_decades == pytest.approx(2)
    assert (steep.best_rate, steep.usable_decades) == (0.1, 0.0)
    assert steep.sensitivity == pytest.approx((0.1 + 0.7 + 0 + 0.9) / 4)


def test_seeds_are_averaged_first():
    table = pd.concat([results(one=[0.4, 0.9, 0.1, 0.1]), results(one=[0.8, 0.1, 0.1, 0.1])])
    assert rate_sensitivity(table)["best_rate"].tolist() == [0.001]
    assert rate_sensitivity(table)["best_accuracy"].tolist() == [pytest.approx(0.6)]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (results(one=[0.1] * 4).drop(columns="accuracy"), "no 'accuracy' column"),
        (results(), "there are no results"),
        (results(one=[0.1] * 4).assign(learning_rate=0.0), "a learning rate is not above 0"),
        (
            results(one=[0.1] * 4, two=[0.1] * 3),
            r"'one' was tried at the rates .*'two' at \[0.001, 0.01, 0.1\]",
        ),
    ],
)
def test_names_what_is_wrong(table, message):
    with pytest.raises(AttrGraphError, match=message):
        rate_sensitivity(table)
