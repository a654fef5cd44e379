"""Edges by contraction, against the explicit sum over samples, positions and taps."""

import pytest
import torch
from torch import Tensor, nn

from attrgraph_core.attribution import contraction
from attrgraph_core.attribution.contraction import contract_edges, edges_per_sample


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def explicit_edges(layer: nn.Module, source: Tensor, target: Tensor, source_width: int) -> Tensor:
    """Slow twin: what one source alone, passed through the layer without bias, meets at the target factor."""
    edges = torch.zeros(len(source), target.shape[1], source_width, dtype=source.dtype)
    silence = layer(torch.zeros_like(source))
    for neuron in range(source_width):
        only = torch.zeros_like(source).flatten(1).unflatten(1, (source_width, -1))
        only[:, neuron] = source.flatten(1).unflatten(1, (source_width, -1))[:, neuron]
        reached = layer(only.reshape(source.shape)) - silence
        edges[:, :, neuron] = (reached * target).flatten(2).sum(dim=2) if target.dim() > 2 else reached * target
    return edges.detach()


def test_linear_edges_match_hand_worked_values():
    layer = nn.Linear(2, 2, bias=False).double()
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, -1.0]]).double()
    sources = torch.tensor([[1.0, 2.0], [0.0, 1.0]]).double()
    targets = torch.tensor([[1.0, -1.0], [2.0, 1.0]]).double()
    # sum over samples of t_j s_i = [[1, 4], [-1, -1]]; of |t_j| |s_i| = [[1, 4], [1, 3]]
    signed, absolute = contract_edges(layer, sources, targets, 2)
    assert signed.tolist() == [[1.0, 8.0], [-3.0, 1.0]]
    assert absolute.tolist() == [[1.0, 8.0], [3.0, 3.0]]


LAYERS = {
    "linear": (nn.Linear(6, 3), (6,), 6),
    "linear after a flatten of three channels": (nn.Linear(6, 4), (6,), 3),
    "convolution, channels": (nn.Conv2d(2, 3, 3), (2, 7, 7), 2),
    "convolution, stride and padding": (nn.Conv2d(2, 3, 3, stride=2, padding=1), (2, 7, 7), 2),
    "convolution, dilation": (nn.Conv2d(2, 3, 3, padding=2, dilation=2), (2, 7, 7), 2),
    "convolution, same padding": (nn.Conv2d(2, 3, 3, padding="same"), (2, 7, 7), 2),
    "convolution, reflected padding": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 7, 7), 2),
    "convolution, groups": (nn.Conv2d(4, 6, 3, groups=2), (4, 7, 7), 4),
    "convolution, pixels": (nn.Conv2d(2, 3, 3, padding=1), (2, 5, 5), 50),
    "convolution, pixels, groups": (nn.Conv2d(2, 4, 3, groups=2, stride=2), (2, 5, 5), 50),
}


@pytest.mark.parametrize("name", LAYERS)
def test_edges_equal_the_explicit_sum(name, monkeypatch):
    monkeypatch.setattr(contraction, "ELEMENTS_AT_ONCE", 300)  # several chunks
    layer, shape, width = LAYERS[name]
    layer = layer.double()
    source = torch.randn(4, *shape, generator=generator(), dtype=torch.float64)
    target = torch.randn(layer(source).shape, generator=generator(1), dtype=torch.float64)
    expected = explicit_edges(layer, source, target, width)
    signed, absolute = contract_edges(layer, source, target, width)
    torch.testing.assert_close(signed, expected.sum(dim=0))
    torch.testing.assert_close(absolute, expected.abs().sum(dim=0))
    if name != "linear":
        torch.testing.assert_close(edges_per_sample(layer, source, target, width), expected)


@pytest.mark.parametrize("layer", [nn.Linear(5, 4), nn.Conv2d(2, 3, 3, padding=1)])
def test_gradient_edges_are_weight_times_its_gradient(layer):
    layer = layer.double()
    is_linear = isinstance(layer, nn.Linear)
    inputs = torch.randn(8, *((5,) if is_linear else (2, 6, 6)), generator=generator(), dtype=torch.float64)
    outputs = layer(inputs)
    (gradient,) = torch.autograd.grad(outputs.square().sum(), outputs, retain_graph=True)
    outputs.square().sum().backward()
    expected = layer.weight.detach() * layer.weight.grad
    signed, _ = contract_edges(layer, inputs, gradient, inputs.shape[1])
    torch.testing.assert_close(signed, expected if is_linear else expected.sum(dim=(2, 3)))
