"""Every method with edges on random networks around every kind of layer: what must hold to the last digit, holds.

Shapes, strides, groups and weights are drawn; the kind under test stands between two layers with weights. Held are:
what enters a neuron is what it has (less biases, by the ledger of methods that keep one); what explains a score is all
of it, where the method's claim covers the kind; what conductance gives the scores is their difference.
"""

import os
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attrgraph_core import attribute
from attrgraph_core.attribution.conductance import Conductance, ExpectedGradients
from attrgraph_core.attribution.methods import EDGE_METHODS
from attrgraph_core.attribution.properties import PROPERTIES

EXAMPLES = int(os.environ.get("ATTRGRAPH_EXAMPLES", "2"))  # of each kind; ten times as many take some minutes
SAMPLES, CLASSES = 3, 3
Draw = Callable[[st.SearchStrategy], int]


class Joined(nn.Module):
    """Two branches of one input added, multiplied or concatenated."""

    def __init__(self, how: str, width: int) -> None:
        super().__init__()
        self.how, self.one, self.other = how, nn.Linear(width, 4), nn.Linear(width, 4)

    def forward(self, x):
        one, other = torch.relu(self.one(x)), self.other(x)
        if self.how == "concatenation":
            return torch.cat([one, other], dim=1)
        return one + other if self.how == "sum" else one * other


class Attended(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Averaged(nn.Module):
    """The mean over tokens."""

    def forward(self, x):
        return x.mean(dim=1)


def flat(make: Callable[[int, Draw], nn.Module]) -> Callable[[Draw], tuple[nn.Module, tuple[int, ...]]]:
    """Linear, the kind, Linear, on lists of features."""

    def build(draw: Draw) -> tuple[nn.Module, tuple[int, ...]]:
        features, width = draw(st.integers(1, 5)), draw(st.integers(2, 5))
        return nn.Sequential(nn.Linear(features, width), make(width, draw)), (features,)

    return build


def spatial(dimensions: int, make: Callable[[int, Draw], nn.Module]):
    """Convolution, the kind, Linear, on images of 1, 2 or 3 dimensions; channels are a multiple of two."""

    def build(draw: Draw) -> tuple[nn.Module, tuple[int, ...]]:
        channels, width = draw(st.integers(1, 2)), 2 * draw(st.integers(1, 2))
        sizes = tuple(draw(st.integers(5, 6 if dimensions < 3 else 5)) for _ in range(dimensions))
        first = getattr(nn, f"Conv{dimensions}d")(channels, width, 2)
        return nn.Sequential(first, nn.ReLU(), make(width, draw)), (channels, *sizes)

    return build


def convolution(dimensions: int, transposed: bool = False) -> Callable[[int, Draw], nn.Module]:
    def make(width: int, draw: Draw) -> nn.Module:
        given = {"kernel_size": draw(st.integers(1, 3)), "bias": bool(draw(st.booleans()))}
        given |= {"stride": draw(st.integers(1, 2)), "groups": draw(st.integers(1, 2))}
        given["padding"] = draw(st.integers(0, given["kernel_size"] - 1))
        kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{dimensions}d")
        if not transposed:
            given["dilation"] = draw(st.integers(1, 2)) if given["kernel_size"] < 3 else 1
            given["padding_mode"] = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
        return kind(width, 2 * draw(st.integers(1, 2)), **given)

    return make


def tokens(make: Callable[[int, Draw], nn.Module], embeds: bool = False):
    """Linear (or an embedding), the kind, the mean over tokens."""

    def build(draw: Draw) -> tuple[nn.Module, tuple[int, ...]]:
        width, length = 2 * draw(st.integers(1, 3)), draw(st.integers(2, 4))
        first = nn.Embedding(7, width) if embeds else nn.Linear(3, width)
        shape = (length,) if embeds else (length, 3)
        return nn.Sequential(first, make(width, draw), Averaged()), shape

    return build


ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.GELU, nn.SiLU)
KINDS = {
    "Linear": flat(lambda width, draw: nn.Linear(width, 4, bias=bool(draw(st.booleans())))),
    **{kind.__name__: flat(lambda width, draw, kind=kind: kind()) for kind in ACTIVATIONS},  # type: ignore[misc]
    "Dropout": flat(lambda width, draw: nn.Dropout(0.5)),
    "BatchNorm1d": flat(lambda width, draw: nn.BatchNorm1d(width)),
    "LayerNorm": flat(lambda width, draw: nn.LayerNorm(width)),
    "RMSNorm": flat(lambda width, draw: nn.RMSNorm(width)),
    **{how: flat(lambda width, draw, how=how: Joined(how, width)) for how in ("sum", "product", "concatenation")},  # type: ignore[misc]
    **{f"Conv{d}d": spatial(d, convolution(d)) for d in (1, 2, 3)},
    **{f"ConvTranspose{d}d": spatial(d, convolution(d, True)) for d in (1, 2, 3)},
    "BatchNorm2d": spatial(2, lambda width, draw: nn.BatchNorm2d(width)),
    "BatchNorm3d": spatial(3, lambda width, draw: nn.BatchNorm3d(width)),
    "GroupNorm": spatial(2, lambda width, draw: nn.GroupNorm(2, width)),
    "InstanceNorm2d": spatial(2, lambda width, draw: nn.InstanceNorm2d(width, affine=True)),
    "MaxPool1d": spatial(1, lambda width, draw: nn.MaxPool1d(draw(st.integers(2, 3)), draw(st.integers(1, 2)))),
    "MaxPool2d": spatial(2, lambda width, draw: nn.MaxPool2d(draw(st.integers(2, 3)), draw(st.integers(1, 2)))),
    "AvgPool2d": spatial(2, lambda width, draw: nn.AvgPool2d(draw(st.integers(2, 3)), draw(st.integers(1, 2)))),
    "AvgPool3d": spatial(3, lambda width, draw: nn.AvgPool3d(2)),
    "AdaptiveAvgPool2d": spatial(2, lambda width, draw: nn.AdaptiveAvgPool2d(draw(st.integers(1, 2)))),
    "Upsample": spatial(2, lambda width, draw: nn.Upsample(scale_factor=2)),
    "MultiheadAttention": tokens(lambda width, draw: Attended(width, draw(st.integers(1, 2)))),
    "Embedding": tokens(lambda width, draw: nn.Tanh(), embeds=True),
    "LayerNorm of tokens": tokens(lambda width, draw: nn.LayerNorm(width)),
}
# Where the gradient's shares and what biases keep make up the score: piecewise linear, no statistics, no product.
PIECEWISE_LINEAR = {
    "Linear", "ReLU", "LeakyReLU", "Dropout", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "sum", "concatenation",
    "MaxPool1d", "MaxPool2d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool2d", "Upsample",
    *(name for name in KINDS if name.startswith("Conv")),
}  # fmt: skip
LEDGERS = {row.name for row in PROPERTIES if row.adds_up_to == "score"}
BY_STEPS = {"conductance": Conductance, "expected_gradients": ExpectedGradients}


def random_network(name: str, draw: Draw) -> tuple[nn.Module, Tensor, Tensor]:
    """A network in evaluation mode around a kind of layer, with statistics of its own, inputs and labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(st.integers(0, 10_000)))
        body, shape = KINDS[name](draw)
        inputs = (
            torch.randint(0, 7, (SAMPLES, *shape)) if name == "Embedding" else torch.randn(SAMPLES, *shape).double()
        )
        network = nn.Sequential(body, nn.Flatten()).double().eval()
        network.append(nn.Linear(network(inputs).shape[1], CLASSES).double())
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():  # no γ of 1, no running mean of 0, and variances above 0
                tensor.data = torch.rand_like(tensor) + 0.3 if tensor.dim() == 1 else torch.randn_like(tensor)
    return network, inputs, torch.arange(SAMPLES) % CLASSES


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_identities_hold_around_every_kind_of_layer(name, data):
    network, inputs, labels = random_network(name, lambda strategy: data.draw(strategy))
    scores = network(inputs).gather(1, labels[:, None]).detach()
    for method in EDGE_METHODS:
        asked = BY_STEPS[method](steps=4) if method in BY_STEPS else method
        if method in BY_STEPS:
            asked.largest_gap = None  # four steps are few; what holds at any number of steps is held here
        backgrounds = inputs[:2] if method in ("deepshap", "expected_gradients") else torch.zeros_like(inputs[:1])
        graph = attribute(network, inputs, labels, method=asked, baseline=backgrounds)
        neurons = graph.neurons.set_index(["layer", "index"])
        read = neurons[neurons.kind != "input"]
        size = 1 + read.attribution.abs().max()
        kept = read.absorbed_by_bias + read.absorbed_by_stabiliser
        if method not in LEDGERS:  # no bias has a share, and what enters a neuron is what it has
            of_sums = read.kind != "product" if method in BY_STEPS else read.kind != ""
            assert kept[of_sums].abs().max() < 1e-10 * size, method
        if method in BY_STEPS:
            lower = network(backgrounds)[:, labels].mean(dim=0)[:, None]
            found = read[read.kind == "output"].attribution.sum()
            assert found == pytest.approx((scores - lower).mean().item(), abs=1e-10), method
        elif method != "gradient_times_activation" or name in PIECEWISE_LINEAR:
            assert graph.completeness_delta < 1e-10, method
