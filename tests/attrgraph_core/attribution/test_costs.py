from attrgraph_core.attribution.costs import measure_costs
from attrgraph_core.attribution.properties import ANALYSES


def test_costs_are_measured():
    names = ["gradient_times_activation", "saliency", "conductance"]
    costs = measure_costs(names)
    assert list(costs) == names
    assert 0 < costs["gradient_times_activation"] < costs["conductance"]  # 1 pass beside 33
    assert 0 < costs["saliency"] < costs["conductance"]


def test_analyses_beside_the_methods_are_measured():
    costs = measure_costs([row.name for row in ANALYSES], rounds=1)
    assert list(costs) == ["ablation", "summit", "depara"]
    assert 0 < costs["depara"] < costs["summit"] < costs["ablation"]  # 1 pass; each sample's edges; a pass an edge
