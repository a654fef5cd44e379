"""The neurons that come from Captum are Captum's: the same figures as its own call on the plain network."""

import numpy as np
import pytest
import torch
from captum import attr
from torch import Tensor, nn

from attrgraph_core import attribute
from attrgraph_core.attribution.evaluation import seeded
from attrgraph_core.attribution.neuron_methods.deeplift_shap import DeepLiftShap
from attrgraph_core.attribution.neuron_methods.gradient_shap import GradientShap
from attrgraph_core.attribution.neuron_methods.integrated_gradients import IntegratedGradients
from attrgraph_core.attribution.neuron_methods.internal_influence import InternalInfluence
from attrgraph_core.attribution.neuron_methods.kernel_shap import KernelShap
from attrgraph_core.attribution.neuron_methods.layer_integrated_gradients import LayerIntegratedGradients
from attrgraph_core.attribution.neuron_methods.lime import Lime
from attrgraph_core.attribution.neuron_methods.occlusion import Occlusion

LABELS = torch.tensor([0, 1, 2, 1])


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 5), nn.Tanh(),
        nn.Linear(5, 3),
    ).double().eval()  # fmt: skip


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def hold(graph, layer: str, expected: Tensor, tolerance: float = 1e-12) -> None:
    """Means over samples, and over a channel's positions the sum."""
    expected = expected.detach()
    expected = expected.flatten(1) if layer == "input" or expected.dim() == 2 else expected.sum(dim=(2, 3))
    own = graph.neurons[graph.neurons.layer == layer]
    np.testing.assert_allclose(own["attribution"], expected.mean(dim=0), atol=tolerance)
    np.testing.assert_allclose(own["abs_attribution"], expected.abs().mean(dim=0), atol=tolerance)


def test_saliency(inputs):
    model = cnn()
    graph = attribute(model, inputs, LABELS, method="saliency")
    hold(graph, "input", attr.Saliency(model).attribute(inputs.clone().requires_grad_(), target=LABELS, abs=False))
    assert graph.neurons[graph.neurons.layer == "6"]["attribution"].tolist() == [0.25, 0.5, 0.25]  # of their labels


def test_integrated_gradients(inputs):
    model, baseline = cnn(), torch.full((1, 1, 4, 4), 0.3, dtype=torch.float64)
    graph = attribute(model, inputs, LABELS, method=IntegratedGradients(steps=20), baseline=baseline)
    expected = attr.IntegratedGradients(model).attribute(inputs, baseline, target=LABELS, n_steps=20)
    hold(graph, "input", expected)


def test_several_baselines_are_averaged(inputs):
    model = cnn()
    both, first, second = (
        attribute(model, inputs, LABELS, method="integrated_gradients", baseline=baseline)
        for baseline in (inputs[:2], inputs[:1], inputs[1:2])
    )
    mean = (first.neurons["attribution"] + second.neurons["attribution"]) / 2
    np.testing.assert_allclose(both.neurons["attribution"], mean, atol=1e-12)
    assert both.completeness_delta < 1e-2


@pytest.mark.parametrize(("method", "captum"), [
    (LayerIntegratedGradients(steps=20), attr.LayerIntegratedGradients),
    (InternalInfluence(steps=20), attr.InternalInfluence),
])  # fmt: skip
def test_layers(inputs, method, captum):
    model, zeros = cnn(), torch.zeros(4, 1, 4, 4, dtype=torch.float64)
    graph = attribute(model, inputs, LABELS, method=method)
    for layer in ("0", "4", "6"):
        expected = captum(model, model[int(layer)]).attribute(inputs, zeros, target=LABELS, n_steps=20)
        hold(graph, layer, expected)


def test_gradient_shap(inputs):
    model = cnn()
    graph = attribute(model, inputs, LABELS, method=GradientShap(30, noise=0.1, seed=3), baseline=inputs[:2])
    with seeded(3):
        expected = attr.GradientShap(model).attribute(inputs, inputs[:2], n_samples=30, stdevs=0.1, target=LABELS)
    hold(graph, "input", expected)


@pytest.mark.filterwarnings("ignore:Setting (forward|backward):UserWarning")  # Captum's, of its own hooks
def test_deeplift_shap(inputs):
    model = cnn()
    graph = attribute(model, inputs, LABELS, method=DeepLiftShap(), baseline=inputs[:3])
    hold(graph, "input", attr.DeepLiftShap(model).attribute(inputs, inputs[:3], target=LABELS))
    assert graph.completeness_delta < 1e-12


@pytest.mark.parametrize(
    ("method", "captum"), [(KernelShap(60, seed=5), attr.KernelShap), (Lime(60, seed=5), attr.Lime)]
)
def test_sample_by_sample(inputs, method, captum):
    model, mask = cnn(), torch.arange(16).reshape(1, 1, 4, 4)
    graph = attribute(model, inputs, LABELS, method=method)
    with seeded(5):
        rows = [
            captum(model).attribute(
                sample, torch.zeros_like(sample), target=label, n_samples=60, feature_mask=mask
            )
            for sample, label in zip(inputs.split(1), LABELS.tolist(), strict=True)
        ]  # fmt: skip
    hold(graph, "input", torch.cat(rows), 1e-5)  # the regression is in float32


def test_feature_ablation(inputs):
    model = cnn()
    graph = attribute(model, inputs, LABELS, method="feature_ablation", baseline="mean")
    mean = inputs.mean(dim=0, keepdim=True)
    hold(graph, "input", attr.FeatureAblation(model).attribute(inputs, mean, target=LABELS))


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (3, 1), (2, 2)])
def test_occlusion(inputs, window, stride):
    model = cnn()
    graph = attribute(model, inputs, LABELS, method=Occlusion(window, stride))
    expected = attr.Occlusion(model).attribute(inputs, (1, window, window), (1, stride, stride), 0, target=LABELS)
    hold(graph, "input", expected, 1e-6)
