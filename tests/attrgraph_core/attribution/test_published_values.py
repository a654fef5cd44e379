"""Values that the suites of other libraries expect, from our methods on the same small networks.

Each test names the file and the test that its numbers come from. Captum: pytorch/captum, tests/attr; DeepExplain:
marcoancona/DeepExplain, deepexplain/tests/test_tensorflow.py; deeplift: kundajelab/deeplift, tests/layers; zennit:
chr5tphr/zennit, tests/unit/test_rules.py, which expects definitions and no constants.
"""

import copy

import pytest
import torch
from torch import nn

from attrgraph_core import attribute
from attrgraph_core.attribution.conductance import Conductance
from attrgraph_core.attribution.neuron_methods.internal_influence import InternalInfluence
from attrgraph_core.attribution.neuron_methods.kernel_shap import KernelShap
from attrgraph_core.attribution.relevance import LayerwiseRelevance
from attrgraph_core.attribution.relevance_rules import Epsilon, Gamma, GeneralisedGamma


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


# Captum, methods that give neurons only

TWENTY = torch.tensor([[20.0, 50.0, 30.0]])


@pytest.mark.parametrize(
    ("inputs", "baseline", "layer", "expected"),
    [  # layer/test_internal_influence.py
        ([0, 100, 0], [0, 0, 0], "linear0", [3.9, 3.9, 3.9]),  # test_simple_input_internal_inf
        ([0, 100, 0], [0, 0, 0], "linear1", [0.9, 1, 1, 1]),  # test_simple_linear_internal_inf
        ([0, 100, 0], [0, 0, 0], "linear2", [1, 0]),  # test_simple_output_internal_inf
        ([0, 80, 0], [0, -20, 0], "linear1", [0.7, 0.8, 0.8, 0.8]),  # test_simple_with_baseline_internal_inf
    ],
)
def test_internal_influence(inputs, baseline, layer, expected):
    of = [torch.tensor([values]).float() for values in (inputs, baseline)]
    graph = attribute(BasicModelMultiLayer(), of[0], 0, method=InternalInfluence(steps=500), baseline=of[1])
    assert at(graph, layer) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("method", ["feature_ablation", "occlusion"])
def test_ablation_of_the_input(method):
    """test_feature_ablation.py `test_simple_ablation`, test_occlusion.py `test_simple_input`; the second is
    `test_multi_sample_ablation` of both."""
    assert at(attribute(BasicModelMultiLayer(), TWENTY, 0, method=method), "input") == pytest.approx([80, 200, 120])
    both = torch.cat([torch.tensor([[2.0, 10.0, 3.0]]), TWENTY])
    expected = [(8 + 80) / 2, (35 + 200) / 2, (12 + 120) / 2]
    assert at(attribute(BasicModelMultiLayer(), both, 0, method=method), "input") == pytest.approx(expected)


def test_linear_kernel_shap():
    """test_kernel_shap.py, of this name."""
    baseline = torch.tensor([[10.0, 20.0, 10.0]])
    graph = attribute(BasicModelMultiLayer(), TWENTY, 0, method=KernelShap(draws=500), baseline=baseline)
    assert at(graph, "input") == pytest.approx([40, 120, 80], abs=0.01)


def test_simple_kernel_shap():
    """test_kernel_shap.py, of this name."""
    graph = attribute(BasicModelMultiLayer(), TWENTY, 0, method=KernelShap(draws=500))
    assert at(graph, "input") == pytest.approx([76.66666, 196.66666, 116.66666], abs=0.2)  # draws


# kundajelab/deeplift: multipliers times differences from the reference


@pytest.mark.parametrize("sample", [1.0, 2.0])
@pytest.mark.parametrize(("task", "sign"), [(0, 1.0), (1, -1.0)])
def test_dense_backprop(sample, task, sign):
    """tests/layers/test_dense.py, of this name."""
    model = nn.Sequential(linear([[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]], [-1.0, 1.0]))
    graph = attribute(model, torch.full((1, 4), sample), task)
    assert at(graph, "input") == pytest.approx([sign * sample * weight for weight in (1, 2, 3, 4)])


@pytest.mark.parametrize(
    ("sample", "task", "factor"), [(1.0, 0, 9 / 10), (2.0, 0, 19 / 20), (1.0, 1, -1 / 10), (2.0, 1, -1 / 20)]
)
def test_relu_rescale(sample, task, factor):
    """tests/layers/test_activation.py, of this name."""
    model = nn.Sequential(linear([[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]], [-1.0, 1.0]), nn.ReLU())
    graph = attribute(model, torch.full((1, 4), sample), task)
    assert at(graph, "input") == pytest.approx([factor * sample * weight for weight in (1, 2, 3, 4)])


def test_relu_gradient():
    """tests/layers/test_activation.py, of this name: gradients, so by saliency."""
    model = nn.Sequential(linear([[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]], [-1.0, 1.0]), nn.ReLU())
    for sample in (1.0, 2.0):
        for task, expected in enumerate([[1, 2, 3, 4], [0, 0, 0, 0]]):
            graph = attribute(model, torch.full((1, 4), sample), task, method="saliency")
            assert at(graph, "input") == expected


def convolution(dimensions: int, stride: int) -> nn.Module:
    """The network of `create_small_net_with_conv_layer`: the difference of a convolution's two channels."""
    kind = nn.Conv1d if dimensions == 1 else nn.Conv2d
    conv = kind(2, 2, 2, stride=stride)
    first = torch.arange(2.0 ** (dimensions + 1)).reshape(2, *[2] * dimensions) - (2.0 if dimensions == 1 else 0.0)
    conv.weight.data, conv.bias.data = torch.stack([first, -first]), torch.tensor([-1.0, 1.0])
    places = (3 if stride == 1 else 2) ** dimensions
    return nn.Sequential(conv, nn.Flatten(), linear([[1.0] * places + [-1.0] * places], [1.0]))


@pytest.mark.parametrize(
    ("stride", "multipliers"),
    [
        (1, [[-4, -6, -6, -2], [0, 2, 2, 2]]),  # test_dense_backprop
        (2, [[-4, -2, -4, -2], [0, 2, 0, 2]]),  # test_dense_backprop_stride
    ],
)
def test_conv1d_backprop(stride, multipliers):
    """tests/layers/test_conv1d.py."""
    for inputs in torch.arange(16.0).reshape(2, 1, 2, 4) - 8:
        graph = attribute(convolution(1, stride), inputs, 0)
        assert at(graph, "input") == pytest.approx((inputs[0] * torch.tensor(multipliers)).flatten().tolist())


@pytest.mark.parametrize(
    ("stride", "multipliers"),
    [
        (  # test_dense_backprop
            1,
            [[[0, 2, 2, 2], [4, 12, 12, 8], [4, 12, 12, 8], [4, 10, 10, 6]],
             [[8, 18, 18, 10], [20, 44, 44, 24], [20, 44, 44, 24], [12, 26, 26, 14]]],
        ),
        (  # test_dense_backprop_stride
            2,
            [[[0, 2, 0, 2], [4, 6, 4, 6], [0, 2, 0, 2], [4, 6, 4, 6]],
             [[8, 10, 8, 10], [12, 14, 12, 14], [8, 10, 8, 10], [12, 14, 12, 14]]],
        ),
    ],
)  # fmt: skip
def test_conv2d_backprop(stride, multipliers):
    """tests/layers/test_conv2d.py."""
    for inputs in torch.arange(64.0).reshape(2, 1, 2, 4, 4):
        graph = attribute(convolution(2, stride), inputs, 0)
        assert at(graph, "input") == pytest.approx((inputs[0] * torch.tensor(multipliers)).flatten().tolist())


POOLED = torch.tensor([[[0.0, 1, 4, 3], [3, 2, 1, 0]], [[0, -1, -2, -3], [-3, -2, -1, 0]]])


def pooling(pool: nn.Module) -> nn.Module:
    """The network of `create_small_net_with_pool_layer`, behind an untouched convolution: a graph needs a layer."""
    same = nn.Conv1d(2, 2, 1, groups=2, bias=False)
    same.weight.data.fill_(1.0)
    return nn.Sequential(same, pool, nn.Flatten(), linear([[2.0] * 3 + [3.0] * 3], [1.0]))


@pytest.mark.parametrize(("sample", "expected"), [(0, [[0, 2, 4, 0], [3, 3, 3, 0]]), (1, [[2, 2, 2, 0], [0, 3, 3, 3]])])
def test_backprop_maxpool_gradients(sample, expected):
    """tests/layers/test_pool1d.py, of this name."""
    graph = attribute(pooling(nn.MaxPool1d(2, stride=1)), POOLED[[sample]], 0, method="saliency")
    assert at(graph, "input") == torch.tensor(expected).flatten().tolist()


def test_backprop_avgpool():
    """tests/layers/test_pool1d.py, of this name."""
    multipliers = torch.tensor([[1.0, 2, 2, 1], [1.5, 3, 3, 1.5]])
    for inputs in POOLED.split(1):
        graph = attribute(pooling(nn.AvgPool1d(2, stride=1)), inputs, 0)
        assert at(graph, "input") == pytest.approx((inputs[0] * multipliers).flatten().tolist())


class Concatenated(nn.Module):
    """The network of deeplift's test_concat.py, its two inputs as columns of one."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = linear([[1.0, 2.0]], [1.0])

    def forward(self, x):
        return self.dense(torch.cat([x[:, :1], x[:, 1:]], dim=1))


def test_concat_backprop():
    """tests/layers/test_concat.py, of this name: multipliers 1 and 2."""
    for value in (1.0, 2.0):
        assert at(attribute(Concatenated(), torch.full((1, 2), value), 0), "input") == [value, 2 * value]


# zennit: tests/unit/test_rules.py holds its rules against matrices; so are ours, on the layers of its conftest.py


def stabilised(values: torch.Tensor, epsilon: float) -> torch.Tensor:
    return values + torch.where(values < 0, -epsilon, epsilon)


def rule_epsilon(weight, bias, inputs, relevance, epsilon):
    return inputs * ((relevance / stabilised(inputs @ weight.T + bias, epsilon)) @ weight)


def rule_gamma(weight, bias, inputs, relevance, gamma):
    """Generalised: what agrees with the sign of the output counts 1 + gamma times."""
    output, total = inputs @ weight.T + bias, torch.zeros_like(inputs)
    parts = {True: inputs.clamp(min=0), False: inputs.clamp(max=0)}
    for sign in (True, False):
        favoured = {
            True: weight + gamma * (weight.clamp(min=0) if sign else weight.clamp(max=0)),
            False: weight + gamma * (weight.clamp(max=0) if sign else weight.clamp(min=0)),
        }
        own = bias + gamma * (bias.clamp(min=0) if sign else bias.clamp(max=0))
        z = parts[True] @ favoured[True].T + parts[False] @ favoured[False].T + own
        share = relevance / stabilised(z, 1e-6) * ((output > 0) if sign else (output < 0))
        total = total + parts[True] * (share @ favoured[True]) + parts[False] * (share @ favoured[False])
    return total


LAYERS_OF_ZENNIT = {
    "linear": (nn.Linear(16, 4), (16,)),
    "conv1d": (nn.Conv1d(1, 2, 4), (1, 16)),
    "conv2d": (nn.Conv2d(1, 2, 4), (1, 6, 6)),
    "conv3d": (nn.Conv3d(1, 2, 3), (1, 4, 4, 4)),
    "transposed conv1d": (nn.ConvTranspose1d(1, 2, 4), (1, 8)),
    "transposed conv2d": (nn.ConvTranspose2d(1, 2, 3), (1, 4, 4)),
    "transposed conv3d": (nn.ConvTranspose3d(1, 2, 2), (1, 3, 3, 3)),
}


@pytest.mark.parametrize(
    ("method", "rule"),
    [  # the parameters of `replicates(RULES_LINEAR, ...)`
        (Epsilon(1e-6), lambda *given: rule_epsilon(*given, epsilon=1e-6)),
        (Epsilon(1.0), lambda *given: rule_epsilon(*given, epsilon=1.0)),
        (GeneralisedGamma(0.25, 1e-6), lambda *given: rule_gamma(*given, gamma=0.25)),
        (GeneralisedGamma(0.5, 1e-6), lambda *given: rule_gamma(*given, gamma=0.5)),
    ],
    ids=["epsilon 1e-6", "epsilon 1", "gamma 0.25", "gamma 0.5"],
)
@pytest.mark.parametrize("name", LAYERS_OF_ZENNIT)
def test_linear_rule(name, method, rule):
    """`test_linear_rule`: the relevance of a layer's output is the output itself; all is summed by a last layer."""
    module, shape = LAYERS_OF_ZENNIT[name]
    module = copy.deepcopy(module).double()
    inputs = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    output = module(inputs)
    weight = torch.autograd.functional.jacobian(module, inputs).reshape(output.numel(), inputs.numel())
    flat, out = inputs.flatten(1), output.flatten(1)
    expected = rule(weight, out - flat @ weight.T, flat, out)
    model = nn.Sequential(module, nn.Flatten(), linear(ones(1, output.numel())).double())
    by_layer = LayerwiseRelevance("lrp", rules={"output": Epsilon(1e-12), "0": method})
    found = at(attribute(model, inputs, 0, method=by_layer), "input")
    assert found == pytest.approx(expected.flatten().tolist(), abs=1e-9)
