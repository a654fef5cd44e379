"""Gradients by depth: those of autograd, and the textbook's vanishing and exploding."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.limits.depth import gradients_by_depth, growth_per_layer
from attrgraph_core.training.data import load_data


def deep(activation, gain, depth=8):
    torch.manual_seed(0)
    layers = []
    for width in [64, *[32] * (depth - 1)]:
        layers += [nn.Linear(width, 32), activation()]
        nn.init.normal_(layers[-2].weight, std=gain / width**0.5)
    return nn.Sequential(*layers, nn.Linear(32, 10))


@pytest.fixture(scope="module")
def digits():
    data = load_data("digits")
    return data.train_inputs[:300] - data.train_inputs.mean(dim=0), data.train_labels[:300]


def test_norms_are_those_of_autograd(digits):
    model = deep(nn.Tanh, 1.0, depth=2)
    model[2].requires_grad_(False)
    table = gradients_by_depth(model, *digits)
    assert all(parameter.grad is None for parameter in model.parameters())
    model[2].requires_grad_(True)
    places = [digits[0]]
    for layer in model:
        places.append(layer(places[-1]))
    outputs = [places[1], places[3], places[5]]
    for output in outputs:
        output.retain_grad()
    functional.cross_entropy(places[-1], digits[1]).backward()
    assert (table["layer"].tolist(), table["depth"].tolist()) == (["0", "2", "4"], [1, 2, 3])
    for row, output in zip(table.itertuples(), outputs, strict=True):
        weight, bias = (part.detach() for part in model[int(row.layer)].parameters())
        gradient = torch.cat([part.grad.flatten() for part in model[int(row.layer)].parameters()]).norm()
        assert row.signal_norm == pytest.approx(float(output.grad.norm()), rel=1e-5)
        assert row.gradient_norm == pytest.approx(float(gradient), rel=1e-4)
        assert row.relative == pytest.approx(float(gradient / torch.cat([weight.flatten(), bias]).norm()), rel=1e-4)


def test_gradients_vanish_explode_or_keep_their_size(digits):
    def growth(*network):
        return growth_per_layer(gradients_by_depth(deep(*network), *digits))

    assert growth(nn.Sigmoid, 1.0) < 0.35  # a quarter at most, times the weights' gain
    assert 0.8 < growth(nn.ReLU, 2**0.5) < 1.2  # He's initialisation
    assert 1.7 < growth(nn.ReLU, 3.0) < 2.5  # 3 over the root of 2


def test_growth_needs_two_layers_with_a_gradient(digits):
    table = gradients_by_depth(deep(nn.ReLU, 1.0, depth=1), *digits)
    with pytest.raises(AttrGraphError, match="1 layers have a gradient"):
        growth_per_layer(table.head(1))
