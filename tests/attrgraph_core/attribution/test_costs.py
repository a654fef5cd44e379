from attrgraph_core.attribution.costs import measure_costs


def test_costs_are_measured():
    names = ["gradient_times_activation", "saliency", "conductance"]
    costs = measure_costs(names)
    assert list(costs) == names
    assert 0 < costs["gradient_times_activation"] < costs["conductance"]  # 1 pass beside 33
    assert 0 < costs["saliency"] < costs["conductance"]
