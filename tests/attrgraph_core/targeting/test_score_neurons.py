"""Scores on a network whose numbers are worked by hand, and beside slow twins."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.neuron_costs import multiplications, neuron_costs
from attrgraph_core.targeting.score_neurons import score_neurons
from attrgraph_core.training.counted_flops import counted_flops


@pytest.fixture
def network():
    """x -> two ReLU units x and 2x - 1 -> logits (h0, h1)."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [2.0]]))
        model[0].bias.copy_(torch.tensor([0.0, -1.0]))
        model[2].weight.copy_(torch.eye(2))
    return model


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 16, 4)
    ).double()


def column(table, name):
    return {(row["layer"], row["index"]): row[name] for row in table.to_dict("records")}


def test_magnitude(network):
    table, flops = score_neurons(network, ["magnitude"], torch.zeros(1, 1), torch.zeros(1))
    expected = {("0", 0): 1.0, ("0", 1): 5**0.5, ("2", 0): 1.0, ("2", 1): 1.0}
    assert column(table, "magnitude") == pytest.approx(expected, abs=1e-15)
    assert flops == 0


def test_class_error(network):
    # At 3 the units are 3 and 5, and class 1 is predicted; at 0.5 they are 0.5 and 0, and class 0 is.
    inputs, labels = torch.tensor([[3.0], [0.5]]).double(), torch.tensor([0, 0])
    found = column(score_neurons(network, ["class_error"], inputs, labels)[0], "class_error")
    # Of the first sample alone: -3 and +5, by two samples.
    assert found == {("0", 0): 0.0, ("0", 1): 2.5, ("2", 0): 0.0, ("2", 1): 2.5}


def test_class_error_without_errors_is_zero(network):
    inputs, labels = torch.tensor([[3.0], [0.5]]).double(), torch.tensor([1, 0])
    assert set(score_neurons(network, ["class_error"], inputs, labels)[0]["class_error"]) == {0.0}


def test_taylor(network):
    inputs, labels = torch.tensor([[3.0], [0.5]]).double(), torch.tensor([0, 0])
    found = column(score_neurons(network, ["taylor"], inputs, labels)[0], "taylor")
    probabilities = torch.tensor([[3.0, 5.0], [0.5, 0.0]]).double().softmax(1)
    first = (probabilities[:, 0] - 1).abs() * torch.tensor([3.0, 0.5])
    second = probabilities[:, 1] * torch.tensor([5.0, 0.0])
    expected = {("0", 0): first.mean().item(), ("0", 1): second.mean().item()}
    assert found == pytest.approx(expected | {("2", k): expected["0", k] for k in (0, 1)}, abs=1e-12)


def test_fisher_is_the_mean_of_squared_gradients_of_each_sample():
    model = small_network().eval()
    inputs, labels = torch.randn(5, 1, 4, 4).double(), torch.tensor([0, 1, 2, 3, 0])
    found = column(score_neurons(model, ["fisher"], inputs, labels)[0], "fisher")
    expected = dict.fromkeys(found, 0.0)
    for sample, label in zip(inputs, labels, strict=True):
        loss = functional.cross_entropy(model(sample[None]), label[None])
        for name in ("0", "4"):
            layer = model.get_submodule(name)
            weight, bias = torch.autograd.grad(loss, [layer.weight, layer.bias], retain_graph=True)
            for index in range(len(weight)):
                expected[name, index] += (weight[index].square().sum() + bias[index].square()).item() / 5
    assert found == pytest.approx(expected, abs=1e-12)


def test_scores_leave_no_trace():
    model = small_network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    names = ["gradient_norm", "taylor", "fisher", "class_error", "magnitude"]
    table, flops = score_neurons(model, names, torch.randn(6, 1, 4, 4).double(), torch.arange(6) % 4)
    assert list(table) == ["layer", "index", *names]
    assert len(table) == 7
    assert flops > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_flops_of_a_score_are_counted(network):
    inputs, labels = torch.ones(10, 1).double(), torch.zeros(10, dtype=torch.long)
    # Forward 2 + 4 multiplications; back to the outputs of the first layer 4; no weight gradients.
    assert score_neurons(network, ["taylor"], inputs, labels)[1] == 10 * 2 * (6 + 4)


def test_counted_flops_are_those_of_the_formula():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    with counted_flops() as counted:
        model(torch.randn(3, 8)).sum().backward()
    forward = 8 * 16 + 16 * 4
    assert counted.flops == 3 * 2 * (2 * forward + 16 * 4)
    assert multiplications(model, torch.randn(3, 8)) == {"0": 128, "2": 64}


def test_costs_of_neurons():
    costs = neuron_costs(small_network(), torch.randn(2, 1, 4, 4).double()).drop_duplicates("layer")
    assert costs.to_dict("list") == {
        "layer": ["0", "4"], "index": [0, 0], "weights": [10, 49], "flops": [2 * 9 * 16, 2 * 48],
        "bytes": [4 * 8 * 10, 4 * 8 * 49],
    }  # fmt: skip


def test_refuses_unknown_scores_and_a_missing_history(network):
    with pytest.raises(AttrGraphError, match="no score 'beauty'; known are influence"):
        score_neurons(network, ["beauty"], torch.ones(1, 1).double(), torch.zeros(1).long())
    with pytest.raises(AttrGraphError, match="'staleness' needs the history"):
        score_neurons(network, ["staleness"], torch.ones(1, 1).double(), torch.zeros(1).long())
