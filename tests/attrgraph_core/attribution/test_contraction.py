"""Edges by contraction, against the explicit sum over samples, positions and taps."""

import pytest
import torch
from torch import nn

from attrgraph_core.attribution.contraction import contract_edges


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_linear_edges_match_hand_worked_values():
    layer = nn.Linear(2, 2, bias=False).double()
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, -1.0]]).double()
    sources = torch.tensor([[1.0, 2.0], [0.0, 1.0]]).double()
    targets = torch.tensor([[1.0, -1.0], [2.0, 1.0]]).double()
    # sum over samples of t_j s_i = [[1, 4], [-1, -1]]
    assert contract_edges(layer, sources, targets).tolist() == [[1.0, 8.0], [-3.0, 1.0]]


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_convolution_edges_equal_the_explicit_sum(stride, padding, dilation):
    layer = nn.Conv2d(2, 3, 3, stride=stride, padding=padding, dilation=dilation).double()
    sources = torch.randn(4, 2, 7, 7, generator=generator(), dtype=torch.float64)
    targets = torch.randn(layer(sources).shape, generator=generator(1), dtype=torch.float64)
    expected = torch.zeros(3, 2, dtype=torch.float64)
    for channel in range(2):
        only = torch.zeros_like(sources)
        only[:, channel] = sources[:, channel]
        reached = torch.nn.functional.conv2d(only, layer.weight, None, stride, padding, dilation)
        expected[:, channel] = (reached * targets).sum(dim=(0, 2, 3)).detach()
    torch.testing.assert_close(contract_edges(layer, sources, targets), expected)


def test_gradient_edges_are_weight_times_its_gradient():
    layer = nn.Linear(5, 4).double()
    inputs = torch.randn(8, 5, generator=generator(), dtype=torch.float64)
    outputs = layer(inputs)
    (gradient,) = torch.autograd.grad(outputs.square().sum(), outputs, retain_graph=True)
    outputs.square().sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(contract_edges(layer, inputs, gradient), layer.weight.detach() * layer.weight.grad)


def test_a_layer_without_edges_is_named():
    with pytest.raises(TypeError, match="Embedding"):
        contract_edges(nn.Embedding(2, 2), torch.zeros(1, 2), torch.zeros(1, 2))
