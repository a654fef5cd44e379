"""Values that the suites of other libraries expect, from our methods on the same small networks.

Each test names the file and the test that its numbers come from. Captum: pytorch/captum, tests/attr; DeepExplain:
marcoancona/DeepExplain, deepexplain/tests/test_tensorflow.py.
"""

import pytest
import torch
from torch import nn

from attrgraph_core import attribute
from attrgraph_core.attribution.conductance import Conductance
from attrgraph_core.attribution.relevance import LayerwiseRelevance
from attrgraph_core.attribution.relevance_rules import Epsilon, Gamma


def linear(weight, bias=None) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    layer.weight.data = torch.tensor(weight, dtype=torch.float32)
    if bias is not None:
        layer.bias.data = torch.tensor(bias, dtype=torch.float32)
    return layer


def at(graph, layer) -> list[float]:
    return graph.neurons[graph.neurons.layer == layer]["attribution"].tolist()


def ones(rows, columns, value=1.0):
    return [[value] * columns for _ in range(rows)]


class SimpleLRPModel(nn.Sequential):
    """Captum's helper of this name: weights of 2, ReLU, weights of 3."""

    def __init__(self, activation: nn.Module | None = None, first=2.0, second=3.0) -> None:
        super().__init__(linear(ones(3, 3, first)), activation or nn.ReLU(), linear(ones(1, 3, second)))


class BasicModelMultiLayer(nn.Module):
    """Captum's helper `BasicModel_MultiLayer`."""

    def __init__(self) -> None:
        super().__init__()
        self.linear0 = linear([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0.0, 0.0, 0.0])
        self.linear1 = linear(ones(4, 3), [-10.0, 1.0, 1.0, 1.0])
        self.linear2 = linear(ones(2, 4), [-1.0, 1.0])

    def forward(self, x):
        return self.linear2(torch.relu(self.linear1(self.linear0(x))))


class ReLULinearModel(nn.Module):
    """Captum's helper of this name, its two inputs side by side in one."""

    def __init__(self) -> None:
        super().__init__()
        self.l1, self.l2, self.l3 = linear([[3.0, 1.0, 0.0]]), linear([[2.0, 3.0, 0.0]]), linear([[1.0, 1.0]])

    def forward(self, x):
        return self.l3(torch.relu(torch.cat([self.l1(x[:, :3]), self.l2(x[:, 3:])], dim=1)))


class SkipConnection(nn.Module):
    """Captum's model in `test_lrp_skip_connection`."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = linear(ones(2, 2, 5.0))

    def forward(self, x):
        return self.linear(x) + x


class SimplerModel(nn.Module):
    """DeepExplain's `simpler_model`: ReLU(ReLU(x1 - 1) - ReLU(x2))."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = linear([[1.0, 0.0], [0.0, 1.0]], [-1.0, 0.0]), linear([[1.0, -1.0]])

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))))


ONE_TO_THREE = torch.tensor([[1.0, 2.0, 3.0]])
HUNDRED = torch.tensor([[0.0, 100.0, 0.0]])
PRECISE = LayerwiseRelevance("lrp", Epsilon(1e-9))
FINE = Conductance(steps=1000)


# Captum, test_lrp.py


def test_lrp_simple_attributions():
    assert at(attribute(SimpleLRPModel(), ONE_TO_THREE, 0, method=PRECISE), "input") == pytest.approx([18, 36, 54])


def test_lrp_simple_attributions_batch():
    """[18, 36, 54] and [54, 108, 162]; ours is their mean."""
    inputs = torch.cat([ONE_TO_THREE, 3 * ONE_TO_THREE])
    assert at(attribute(SimpleLRPModel(), inputs, 0, method=PRECISE), "input") == pytest.approx([36, 72, 108])


def test_lrp_simple_tanh():
    graph = attribute(SimpleLRPModel(nn.Tanh(), 0.1, 0.1), ONE_TO_THREE, 0, method=PRECISE)
    assert at(graph, "input") == pytest.approx([0.0269, 0.0537, 0.0806], abs=1e-4)


def test_lrp_simple_attributions_gamma_rule():
    model = SimpleLRPModel()
    model[0].weight.data[0, 0] = -2
    method = LayerwiseRelevance("lrp", rules={"0": Gamma(1.0, 1e-9), "2": Gamma(0.25, 1e-9)})
    assert at(attribute(model, ONE_TO_THREE, 0, method=method), "input") == pytest.approx([28 / 3, 104 / 3, 52])


def test_lrp_skip_connection():
    graph = attribute(SkipConnection(), torch.tensor([[2.0, 3.0]]), 1, method=PRECISE)
    assert at(graph, "input") == pytest.approx([10, 18])


# Captum, layer/test_layer_gradient_x_activation.py


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ("linear0", [0, 400, 0]),  # test_simple_input_gradient_activation
        ("linear1", [90, 101, 101, 101]),  # test_simple_linear_gradient_activation
        ("linear2", [392, 0]),  # test_simple_output_gradient_activation
    ],
)
def test_layer_gradient_x_activation(layer, expected):
    graph = attribute(BasicModelMultiLayer(), HUNDRED, 0, method="gradient_times_activation")
    assert at(graph, layer) == pytest.approx(expected)


# Captum, layer/test_layer_conductance.py


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ("linear0", [0, 390, 0]),  # test_simple_input_conductance
        ("linear1", [90, 100, 100, 100]),  # test_simple_linear_conductance
        ("linear2", [390, 0]),  # test_simple_output_conductance
    ],
)
def test_layer_conductance(layer, expected):
    graph = attribute(BasicModelMultiLayer(), HUNDRED, 0, method=FINE)
    assert at(graph, layer) == pytest.approx(expected, abs=0.1)


# Captum, layer/test_layer_deeplift.py


@pytest.mark.parametrize("method", ["deeplift", "deepshap"])
def test_relu_layer_deeplift(method):
    """`test_relu_layer_deeplift`, `test_relu_layer_deepliftshap` and `test_linear_layer_deeplift`."""
    inputs = torch.tensor([[-10.0, 1.0, -5.0, 3.0, 3.0, 1.0]])
    baseline = torch.zeros(1 if method == "deeplift" else 3, 6)
    graph = attribute(ReLULinearModel(), inputs, 0, method=method, baseline=baseline)
    assert graph.edges[graph.edges.target_layer == "l3"]["weight"].tolist() == pytest.approx([0, 15])
    assert at(graph, "l3") == pytest.approx([15])


# DeepExplain


@pytest.mark.parametrize(
    ("method", "inputs", "expected"),
    [
        ("gradient_times_activation", [-10, -5], [0, 0]),  # TestGradInputMethod
        ("gradient_times_activation", [3, 1], [3, -1]),
        (PRECISE, [-10, -5], [0, 0]),  # TestEpsilonLRPMethod.test_elrp_epsilon
        (PRECISE, [3, 1], [3, -1]),
        ("deeplift", [3, 1], [2, -1]),  # TestDeepLIFTMethod.test_deeplift
    ],
)
def test_deepexplain(method, inputs, expected):
    graph = attribute(SimplerModel(), torch.tensor([inputs]).float(), 0, method=method)
    assert at(graph, "input") == pytest.approx(expected, abs=1e-6)


def test_deepexplain_int_grad_higher_precision():
    graph = attribute(SimplerModel(), torch.tensor([[3.0, 1.0]]), 0, method=FINE)
    assert at(graph, "input") == pytest.approx([1.5, -0.5], abs=1e-2)
