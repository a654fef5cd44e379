"""Architectures as torchvision has them, all layers and widths, with random weights and small inputs: shares add up."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from attrgraph_core.attribution.baseline import make_baseline
from attrgraph_core.attribution.conductance import Conductance
from attrgraph_core.attribution.factors import Batch
from attrgraph_core.attribution.graph_sums import Sums
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.methods import attribution_method
from attrgraph_core.attribution.target import Logits

models = pytest.importorskip("torchvision.models", reason="torchvision is in the development group: make install-dev")


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: models.resnet18(weights=None, num_classes=10).double(),
    # Its classifier has 119 million weights: float64 would be 4 GB.
    "vgg11": lambda: models.vgg11(weights=None, num_classes=10),
    "mobilenet_v3_small": lambda: models.mobilenet_v3_small(weights=None, num_classes=10).double(),
    "convnext_tiny": lambda: models.convnext_tiny(weights=None, num_classes=10).double(),
    "vit_b_16": lambda: models.vit_b_16(weights=None, num_classes=10, image_size=32).double(),
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def laid_out(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ARCHITECTURES[request.param]().eval()
        for parameter in network.parameters():
            if not parameter.any():  # what is made zero, such as the head of a vision transformer
                nn.init.normal_(parameter, std=0.1)
        inputs = torch.randn(2, 3, 32, 32, dtype=next(network.parameters()).dtype)
    return network, inputs, network_structure(network, inputs)


def sums_of(structure, inputs, method, labels):
    _, baseline = make_baseline("mean", torch.zeros_like(inputs))
    factors = attribution_method(method).factors(structure, Batch(inputs, Logits(labels), baseline))
    sums = Sums()
    with torch.no_grad():
        sums.add(structure, factors, absolute=False)
    return sums


@pytest.mark.parametrize("method", ["deeplift", "lrp_epsilon"])
def test_shares_add_up_to_the_score(laid_out, method):
    _, inputs, structure = laid_out
    sums = sums_of(structure, inputs, method, torch.tensor([0, 3]))
    assert sums.explained > 0
    assert sums.gap < rounding(inputs) * sums.explained + 1e-15
    if method == "deeplift":
        assert_edges_arrive(structure.layers, sums, rounding(inputs))


def test_conductance_arrives_by_edges_after_any_number_of_steps(laid_out):
    """But at products, where the derivative counts twice."""
    _, inputs, structure = laid_out
    sums = sums_of(structure, inputs[:1], Conductance(steps=2), torch.tensor([3]))
    assert_edges_arrive([layer for layer in structure.layers if layer.kind != "product"], sums, rounding(inputs))


def assert_edges_arrive(layers, sums, tolerance):
    """The edges into each neuron are its attribution."""
    for layer in layers:
        arriving, of_neuron = sums.edges[layer.name][0].sum(dim=1), sums.attributions[layer.name][0]
        scale = of_neuron.abs().max().clamp_min(1e-9)
        assert (arriving - of_neuron).abs().max() / scale < 10 * tolerance, layer.name


def rounding(inputs) -> float:
    return 1e-9 if inputs.dtype == torch.float64 else 1e-4


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
        found = sums.edges[layer.name][0].sum(dim=1)
        assert (found - expected).abs().max() < 10 * rounding(inputs) * expected.abs().max() + 1e-15, layer.name


def test_skips_and_gates_are_layers_of_their_own():
    network = models.resnet18(weights=None).eval()
    structure = network_structure(network, torch.zeros(1, 3, 32, 32))
    joined = [layer.name for layer in structure.layers if layer.kind == "sum"]
    assert joined == [f"layer{stage}.{block}.sum" for stage in range(1, 5) for block in range(2)]
    gated = network_structure(models.mobilenet_v3_small(weights=None).eval(), torch.zeros(1, 3, 32, 32))
    assert sum(layer.kind == "product" for layer in gated.layers) == 9
