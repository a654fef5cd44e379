"""ACE by hand, against the explicit expectation, and its second-order form on quadratics."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.neuron_methods.ace import AverageCausalEffect
from tests.attrgraph_core.attribution.networks import make_network


class Quadratic(nn.Module):
    """Scores that are quadratic in the input, and in what the first layer puts out."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(width, 3), nn.Linear(3, 2)

    def forward(self, x):
        return self.last(torch.square(self.first(x)))


def explicit(score, values: Tensor, background: Tensor, points: int) -> Tensor:
    """Slow twin, (samples, neurons): `score(sample number, rows)` of one layer's outputs."""
    found = torch.zeros_like(values)
    for neuron in range(values.shape[1]):
        low, high = background[:, neuron].min(), background[:, neuron].max()
        grid = [low + (high - low) * place / (points - 1) for place in range(points)]
        for sample, own in enumerate(values[:, neuron]):
            expected = []
            for alpha in [own, *grid]:
                rows = background.clone()
                rows[:, neuron] = alpha
                expected.append(score(sample, rows).mean())
            found[sample, neuron] = expected[0] - sum(expected[1:]) / points
    return found.detach()


def test_by_hand():
    # F = (x1 + x2)^2 on the background (0, 0), (2, 2): E[F | do(x1 = a)] = a^2 + 2 a + 2, which is 2, 5, 10 at 0, 1, 2
    model = Quadratic(2).double()
    model.first.weight.data, model.first.bias.data = torch.tensor([[1.0, 1.0], [0, 0], [0, 0]]).double(), torch.zeros(3)
    model.first.bias.data = torch.zeros(3).double()
    model.last.weight.data, model.last.bias.data = (
        torch.tensor([[1.0, 0, 0], [0, 0, 0]]).double(),
        torch.zeros(2).double(),
    )
    background = torch.tensor([[0.0, 0.0], [2.0, 2.0]]).double()
    sample = torch.tensor([[1.0, 3.0]]).double()
    for expectation in ("background", "second_order"):
        method = AverageCausalEffect(expectation, points=3)
        graph = attribute(model, sample, 0, method=method, baseline=background)
        own = graph.neurons[graph.neurons.layer == "input"]["attribution"]
        assert own.tolist() == pytest.approx([5 - 17 / 3, 17 - 17 / 3])


@pytest.mark.parametrize("expectation", ["background", "second_order"])
def test_the_second_order_form_is_exact_on_quadratics(expectation):
    model = Quadratic().double()
    inputs, background = torch.randn(3, 4).double(), torch.randn(7, 4).double()
    labels = torch.tensor([0, 1, 1])
    method = AverageCausalEffect(expectation, points=5)
    graph = attribute(model, inputs, labels, method=method, baseline=background)
    assert list(graph.neurons.layer.unique()) == ["input", "first", "last"]
    twins = {
        "input": explicit(lambda sample, rows: model(rows)[:, labels[sample]], inputs, background, 5),
        "first": explicit(
            lambda sample, rows: model.last(torch.square(rows))[:, labels[sample]],
            model.first(inputs).detach(), model.first(background).detach(), 5,
        ),
        "last": explicit(
            lambda sample, rows: rows[:, labels[sample]], model(inputs).detach(), model(background).detach(), 5
        ),
    }  # fmt: skip
    for layer, twin in twins.items():
        own = graph.neurons[graph.neurons.layer == layer]["attribution"]
        np.testing.assert_allclose(own, twin.mean(dim=0), atol=1e-10)


def test_on_a_relu_network_the_background_is_the_truth_and_the_second_order_form_is_not():
    network, inputs, _ = make_network("MLP")
    inputs = inputs[:3]
    graphs = [
        attribute(network, inputs, 1, method=AverageCausalEffect(expectation), baseline=inputs)
        for expectation in ("background", "second_order")
    ]
    hidden = network[0](inputs).detach()
    twin = explicit(lambda sample, rows: network[1:](rows)[:, 1], hidden, hidden, 16).mean(dim=0)
    exact, taylor = (graph.neurons[graph.neurons.layer == "0"]["attribution"] for graph in graphs)
    np.testing.assert_allclose(exact, twin, atol=1e-10)
    assert np.abs(taylor - twin.numpy()).max() > 0.05 * twin.abs().max().item()


def test_layers_that_a_path_passes_by_and_neurons_of_many_elements_are_left_out():
    for name, layers in {"U-Net": ["input", "output"], "text CNN": ["output"], "MLP": ["input", "0", "2", "4"]}.items():
        network, inputs, labels = make_network(name)
        graph = attribute(network, inputs, labels, method="ace", baseline=inputs)
        assert list(graph.neurons.layer.unique()) == layers


def test_what_it_is_made_with_is_checked():
    with pytest.raises(AttrGraphError, match="unknown expectation 'third_order'; known are background, second_order"):
        AverageCausalEffect("third_order")  # type: ignore[arg-type]
    with pytest.raises(AttrGraphError, match="needs 2 points or more, not 1"):
        AverageCausalEffect(points=1)
