"""Ours against other libraries: LRP against zennit, averages over a background against Captum."""

import pytest
import torch
from captum.attr import DeepLiftShap
from torch import nn

from attrgraph_core import attribute
from attrgraph_core.attribution.relevance import LayerwiseRelevance
from attrgraph_core.attribution.relevance_rules import Epsilon, GeneralisedGamma

CAPTUM_WARNS = pytest.mark.filterwarnings("ignore:Setting (forward|backward):UserWarning")  # of its own hooks


def mlp() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(5, 6)


def cnn() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(24, 3),
    )  # fmt: skip
    return network, torch.randn(5, 2, 8, 8)


RULES = {"epsilon": Epsilon(1e-2), "gamma": GeneralisedGamma(0.3, 1e-2)}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("make", [mlp, cnn])
def test_relevance_of_the_input_equals_zennit(make, rule):
    zennit = pytest.importorskip("zennit", reason="zennit is in the development group: make install-dev")
    from zennit.attribution import Gradient
    from zennit.composites import LayerMapComposite
    from zennit.rules import Epsilon as ZennitEpsilon
    from zennit.rules import Gamma, Pass
    from zennit.types import Activation, Linear

    assert zennit is not None
    network, inputs = make()
    network, inputs = network.double(), inputs.double()
    theirs = ZennitEpsilon(epsilon=1e-2) if rule == "epsilon" else Gamma(gamma=0.3, stabilizer=1e-2)
    composite = LayerMapComposite([(Activation, Pass()), (Linear, theirs)])
    target = torch.zeros(3, dtype=torch.float64)
    target[1] = 1
    with Gradient(network, composite) as attributor:
        _, relevance = attributor(inputs.clone().requires_grad_(), lambda output: output * target)
    graph = attribute(network, inputs, 1, method=LayerwiseRelevance("lrp", RULES[rule]))
    ours = graph.neurons[graph.neurons.kind == "input"]["attribution"].to_numpy()
    expected = relevance.mean(dim=0).flatten().detach().numpy()
    assert abs(ours - expected).max() < 1e-10


@CAPTUM_WARNS
def test_deepshap_equals_captum():
    network, inputs = mlp()
    network, inputs = network.double(), inputs.double()
    background = torch.randn(4, 6, dtype=torch.float64)
    expected = DeepLiftShap(network).attribute(inputs, background, target=1).mean(dim=0)
    graph = attribute(network, inputs, 1, method="deepshap", baseline=background)
    ours = graph.neurons[graph.neurons.kind == "input"]["attribution"].to_numpy()
    assert abs(ours - expected.detach().numpy()).max() < 1e-10
