"""IG2 against its definition: the way written out on the plain network, and what must be on a linear one."""

import numpy as np
import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.neuron_methods.ig2 import IterativePath


def network(activation: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), activation, nn.Linear(6, 3)).double()


def slow_twin(model: nn.Module, sample: torch.Tensor, reference: torch.Tensor, label: int, steps: int) -> torch.Tensor:
    """One sample, step by step: down the gradient of the distance of what the last layer reads."""
    step_length = (sample - reference).norm() / steps

    def representation(x):
        return model[:-1](x)

    def gradient(function, x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(function(x), x)[0]

    total, place = torch.zeros_like(sample), sample
    for _ in range(steps):
        down = gradient(lambda x: (representation(x) - representation(reference)).square().sum(), place)
        following = place - step_length * down / down.norm()
        slopes = [gradient(lambda x: model(x)[label], at) for at in (place, following)]
        total += (place - following) * (slopes[0] + slopes[1]) / 2
        place = following
    return total


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh()], ids=["relu", "tanh"])
def test_it_is_the_definition_step_by_step(activation):
    model, inputs = network(activation), torch.randn(3, 4).double()
    reference = torch.tensor([0.5, -1.0, 0.25, 2.0]).double()
    graph = attribute(model, inputs, torch.tensor([0, 2, 1]), method=IterativePath(steps=12), baseline=reference)
    twin = torch.stack([slow_twin(model, *of, 12) for of in zip(inputs, reference.expand(3, 4), [0, 2, 1])])  # noqa: B905
    own = graph.neurons[graph.neurons.layer == "input"]
    np.testing.assert_allclose(own["attribution"], twin.mean(dim=0), atol=1e-12)


def test_on_a_linear_network_it_is_the_weight_times_the_way():
    model, inputs = network(nn.Identity()), torch.randn(3, 4).double()
    method = IterativePath(steps=5, reach=0.5)
    graph = attribute(model, inputs, 1, method=method, baseline=torch.ones(4).double())
    weight = (model[2].weight @ model[0].weight)[1].detach()
    assert graph.completeness_delta < 1e-12
    way = method.way(network_structure(model, inputs), inputs, torch.ones(1, 4).double())
    expected = (weight * (inputs - way[-1])).mean(dim=0)
    np.testing.assert_allclose(graph.neurons[:4]["attribution"], expected, atol=1e-12)
    lengths = (way[1:] - way[:-1]).norm(dim=2).sum(dim=0)
    torch.testing.assert_close(lengths, 0.5 * (inputs - 1).norm(dim=1))


def test_at_the_reference_there_is_no_way():
    model = network(nn.Tanh())
    graph = attribute(model, torch.ones(1, 4).double(), 1, method="ig2", baseline=torch.ones(4).double())
    assert graph.neurons["attribution"].tolist() == [0.0] * 7


def test_a_way_has_a_length():
    with pytest.raises(AttrGraphError, match="positive multiple of the distance, not -1"):
        IterativePath(reach=-1)
