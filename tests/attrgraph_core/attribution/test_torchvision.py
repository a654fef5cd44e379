"""Real architectures as torchvision has them, with random weights and small inputs: their shares add up."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from attrgraph_core.attribution.baseline import make_baseline
from attrgraph_core.attribution.factors import Batch
from attrgraph_core.attribution.graph_sums import Sums
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.methods import attribution_method
from attrgraph_core.attribution.target import Logits

models = pytest.importorskip("torchvision.models", reason="torchvision is in the development group: make install-dev")


def small_vgg() -> nn.Module:
    """Its classifier has 119 million weights; here it is narrow."""
    network = models.vgg11(weights=None)
    network.classifier = nn.Sequential(nn.Linear(512 * 49, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10))
    return network


def small_vit() -> nn.Module:
    """vit_b_16's own class, with fewer and narrower layers."""
    return models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64, num_classes=10
    )


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: models.resnet18(weights=None, num_classes=10),
    "vgg11": small_vgg,
    "mobilenet_v3_small": lambda: models.mobilenet_v3_small(weights=None, num_classes=10),
    "convnext_tiny": lambda: models.convnext_tiny(weights=None, num_classes=10),
    "vision transformer": small_vit,
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def laid_out(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ARCHITECTURES[request.param]().double().eval()
        for parameter in network.parameters():
            if not parameter.any():  # what is made zero, such as the head of a vision transformer
                nn.init.normal_(parameter, std=0.1)
        inputs = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    return network, inputs, network_structure(network, inputs)


def sums_of(structure, inputs, name, labels):
    _, baseline = make_baseline("mean", torch.zeros_like(inputs))
    factors = attribution_method(name).factors(structure, Batch(inputs, Logits(labels), baseline))
    sums = Sums()
    with torch.no_grad():
        sums.add(structure, factors, absolute=False)
    return sums


@pytest.mark.parametrize("method", ["deeplift", "lrp_epsilon"])
def test_shares_add_up_to_the_score(laid_out, method):
    _, inputs, structure = laid_out
    sums = sums_of(structure, inputs, method, torch.tensor([0, 3]))
    assert sums.explained > 0
    assert sums.gap < 1e-9 * sums.explained + 1e-15
    for layer in structure.layers:
        arriving, of_neuron = sums.edges[layer.name][0].sum(dim=1), sums.attributions[layer.name][0]
        if method == "deeplift":
            scale = of_neuron.abs().max().clamp_min(1e-9)
            assert (arriving - of_neuron).abs().max() / scale < 1e-8, layer.name


def test_gradient_edges_are_weights_times_their_gradient(laid_out):
    network, inputs, structure = laid_out
    labels = torch.tensor([0, 3])
    sums = sums_of(structure, inputs, "gradient_times_activation", labels)
    layers = [layer for layer in structure.trainable if layer.sources.mask is None]
    chosen = [layers[0], layers[len(layers) // 2], layers[-1]]
    score = network(inputs).gather(1, labels[:, None]).sum()
    gradients = torch.autograd.grad(score, [layer.module.weight for layer in chosen])
    for layer, gradient in zip(chosen, gradients, strict=True):
        expected = (layer.weight() * gradient).flatten(1).sum(dim=1)
        torch.testing.assert_close(sums.edges[layer.name][0].sum(dim=1), expected, atol=1e-10, rtol=1e-8)


def test_skips_and_gates_are_layers_of_their_own():
    network = models.resnet18(weights=None).eval()
    structure = network_structure(network, torch.zeros(1, 3, 32, 32))
    joined = [layer.name for layer in structure.layers if layer.kind == "sum"]
    assert joined == [f"layer{stage}.{block}.sum" for stage in range(1, 5) for block in range(2)]
    gated = network_structure(models.mobilenet_v3_small(weights=None).eval(), torch.zeros(1, 3, 32, 32))
    assert sum(layer.kind == "product" for layer in gated.layers) == 9
