from attrgraph_core.attribution.methods import METHODS
from attrgraph_core.attribution.properties import PROPERTIES, measure_costs


def test_every_method_has_a_row():
    assert [row.name for row in PROPERTIES] == list(METHODS)


def test_costs_are_measured():
    costs = measure_costs(["gradient_times_activation", "conductance"], rounds=1)
    assert list(costs) == ["gradient_times_activation", "conductance"]
    assert 0 < costs["gradient_times_activation"] < costs["conductance"]  # 1 pass beside 33
