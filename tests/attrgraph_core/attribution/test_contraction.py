"""Edges by contraction, against the explicit sum over samples, positions and taps."""

import pytest
import torch
from torch import Tensor, nn

from attrgraph_core.attribution import term as terms
from attrgraph_core.attribution.contraction import (
    contract_edges,
    edges_per_sample,
    embedding_edges,
    junction_edges,
)
from attrgraph_core.attribution.sources import NeuronMap, Sources, linear_sources, spatial_sources
from attrgraph_core.attribution.structure import Layer
from attrgraph_core.attribution.term import Term


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layer_of(module: nn.Module, ids: Tensor) -> Layer:
    """A layer that reads the neurons `ids`, of the shape of one sample."""
    output = module(torch.zeros(1, *ids.shape, dtype=torch.float64))
    is_linear = isinstance(module, nn.Linear)
    neurons = NeuronMap.of_dimension(output.shape[1:], output.dim() - 2 if is_linear else 0)
    sources = linear_sources(ids.double()) if is_linear else spatial_sources(ids.double(), module)
    return Layer("layer", "unit", "weighted", None, module, neurons, sources, int(ids.max()) + 1)  # type: ignore[arg-type]


def explicit_edges(module: nn.Module, ids: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Slow twin: what one neuron alone, passed through the layer without bias, meets at the target factor."""
    silence = module(torch.zeros_like(source))
    per_neuron = []
    for neuron in range(int(ids.max()) + 1):
        reached = module(torch.where(ids == neuron, source, 0.0)) - silence
        met = reached * target
        met = met.movedim(-1, 1) if isinstance(module, nn.Linear) else met
        per_neuron.append(met.flatten(2).sum(dim=2) if met.dim() > 2 else met)
    return torch.stack(per_neuron, dim=2).detach()


def dense(layer: Layer, edges: Tensor, width: int) -> Tensor:
    """Edges in columns of the network's neurons."""
    place = layer.sources.neurons.expand(edges.shape[-2:]).expand(edges.shape)
    return torch.zeros(*edges.shape[:-1], width, dtype=edges.dtype).scatter_add(
        -1, place.clamp_min(0), torch.where(place >= 0, edges, 0.0)
    )


def channels(*shape: int) -> Tensor:
    return torch.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)).expand(*shape)


def features(*shape: int) -> Tensor:
    return torch.arange(shape[-1]).expand(*shape)


def with_constants(ids: Tensor, where: tuple[int, ...]) -> Tensor:
    ids = ids.clone()
    ids[where] = -1
    return ids


LAYERS = {
    "linear": (nn.Linear(6, 3), features(6)),
    "linear of features in another order": (nn.Linear(6, 3), torch.tensor([3, 0, 5, 1, 4, 2])),
    "linear after a flatten of three channels": (nn.Linear(6, 4), torch.tensor([0, 0, 1, 1, 2, 2])),
    "linear of neurons that come twice": (nn.Linear(6, 4), torch.tensor([0, 1, 2, 2, 1, 0])),
    "linear of tokens": (nn.Linear(4, 3), features(5, 4)),
    "linear of tokens, the first constant": (nn.Linear(4, 3), with_constants(features(5, 4), (0,))),
    "linear of tokens that are other neurons each": (nn.Linear(4, 3), torch.arange(12).reshape(3, 4)),
    "linear over tokens": (nn.Linear(5, 3), channels(4, 5)),
    "convolution, 1-d": (nn.Conv1d(3, 4, 3, padding=1, stride=2), channels(3, 9)),
    "convolution, 3-d": (nn.Conv3d(2, 3, 2, dilation=2, padding=1), channels(2, 4, 5, 4)),
    "convolution, channels": (nn.Conv2d(2, 3, 3), channels(2, 7, 7)),
    "convolution, stride and padding": (nn.Conv2d(2, 3, (3, 2), stride=(2, 3), padding=(1, 0)), channels(2, 7, 7)),
    "convolution, dilation": (nn.Conv2d(2, 3, 3, padding=2, dilation=2), channels(2, 7, 7)),
    "convolution, same padding": (nn.Conv2d(2, 3, (2, 4), padding="same"), channels(2, 7, 7)),
    "convolution, reflected padding": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), channels(2, 7, 7)),
    "convolution, circular padding": (nn.Conv1d(2, 3, 3, padding=2, padding_mode="circular"), channels(2, 7)),
    "convolution, groups": (nn.Conv2d(4, 6, 3, groups=2), channels(4, 7, 7)),
    "convolution, each channel alone": (nn.Conv2d(4, 8, 3, groups=4), channels(4, 7, 7)),
    "convolution, channels that come twice": (
        nn.Conv2d(4, 3, 3), torch.tensor([0, 1, 1, 0])[:, None, None].expand(4, 5, 5),
    ),
    "convolution, groups, channels that come twice": (
        nn.Conv2d(4, 6, 3, groups=2), torch.tensor([0, 1, 1, 0])[:, None, None].expand(4, 5, 5),
    ),
    "convolution, a constant channel": (nn.Conv2d(3, 4, 3), with_constants(channels(3, 5, 5), (1,)).clamp_max(1)),
    "convolution, pixels": (nn.Conv2d(2, 3, 3, padding=1), torch.arange(50).reshape(2, 5, 5)),
    "convolution, pixels, groups": (nn.Conv2d(2, 4, 3, groups=2, stride=2), torch.arange(50).reshape(2, 5, 5)),
    "convolution, pixels, reflected": (
        nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect"), torch.arange(25).reshape(1, 5, 5),
    ),
    "convolution, pixels, 1-d": (nn.Conv1d(2, 3, 4, stride=3), torch.arange(20).reshape(2, 10)),
    "transposed convolution": (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), channels(3, 4, 4)),
    "transposed convolution, groups": (nn.ConvTranspose1d(4, 6, 3, groups=2, dilation=2), channels(4, 6)),
    "convolution, replicated padding, stride": (
        nn.Conv2d(2, 3, 3, stride=2, padding=2, padding_mode="replicate"), channels(2, 5, 6),
    ),
    "convolution, 1-d, groups, dilation": (nn.Conv1d(4, 6, 3, groups=2, dilation=3, padding=1), channels(4, 11)),
    "convolution, 3-d, groups, stride": (nn.Conv3d(4, 2, 2, groups=2, stride=2), channels(4, 4, 4, 5)),
    "convolution, 3-d, circular padding": (
        nn.Conv3d(1, 2, 3, padding=1, padding_mode="circular"), channels(1, 3, 4, 3),
    ),
    "convolution, 3-d, voxels": (nn.Conv3d(1, 2, 2, padding=1), torch.arange(24).reshape(1, 2, 3, 4)),
    "convolution, 1-d, elements, groups, dilation": (
        nn.Conv1d(4, 4, 2, groups=2, dilation=2, padding=1), torch.arange(24).reshape(4, 6),
    ),
    "convolution, pixels, same padding": (nn.Conv2d(1, 2, (2, 4), padding="same"), torch.arange(20).reshape(1, 4, 5)),
    "convolution, pixels, some constant": (
        nn.Conv2d(1, 2, 3, padding=1), with_constants(torch.arange(20).reshape(1, 4, 5), (0, 3, 4)),
    ),
    "transposed convolution, 3-d": (nn.ConvTranspose3d(2, 3, 2, stride=2, padding=1), channels(2, 2, 3, 2)),
    "transposed convolution, 1-d, elements, groups": (
        nn.ConvTranspose1d(2, 4, 3, groups=2, stride=2, output_padding=1), torch.arange(8).reshape(2, 4),
    ),
    "transposed convolution, pixels": (nn.ConvTranspose2d(1, 3, 2, stride=2), torch.arange(9).reshape(1, 3, 3)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("rows_per_sample", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_edges_equal_the_explicit_sum(name, rows_per_sample, monkeypatch):
    monkeypatch.setattr(terms, "ELEMENTS_AT_ONCE", 300)  # several chunks
    module, ids = LAYERS[name]
    module, rows = module.double(), 4 * rows_per_sample
    layer = layer_of(module, ids)
    source = torch.randn(rows, *ids.shape, generator=generator(), dtype=torch.float64)
    target = torch.randn(module(source).shape, generator=generator(1), dtype=torch.float64)
    expected = explicit_edges(module, ids, source, target).unflatten(0, (4, rows_per_sample)).sum(dim=1)
    width = expected.shape[2]
    term = Term(source, target)
    signed, absolute = contract_edges(layer, (term,), rows_per_sample)
    torch.testing.assert_close(dense(layer, signed, width), expected.sum(dim=0))
    torch.testing.assert_close(dense(layer, absolute, width), expected.abs().sum(dim=0))
    of_mean = contract_edges(layer, (term,), rows_per_sample, absolute=False)
    torch.testing.assert_close(of_mean[0], signed)
    assert of_mean[1] is None  # of samples taken apart nothing is known


def attention(same: bool) -> nn.MultiheadAttention:
    """Two heads on six features, of values of six or four."""
    width = {} if same else {"kdim": 5, "vdim": 4}
    return nn.MultiheadAttention(6, 2, batch_first=True, **width).double()


@pytest.mark.parametrize("rows_per_sample", [1, 3])
@pytest.mark.parametrize("tokens_are_neurons", [False, True], ids=["features", "elements"])
@pytest.mark.parametrize("same", [True, False], ids=["joint projection", "projections apart"])
def test_edges_of_heads_equal_the_explicit_sum(same, tokens_are_neurons, rows_per_sample):
    """A head's neuron is the sum of its features over tokens; what it reads are the features of the values."""
    module, width = attention(same), 6 if same else 4
    ids = torch.arange(5 * width).reshape(5, width) if tokens_are_neurons else features(5, width)
    neurons = NeuronMap.of_groups((5, 6), 1, 2)
    layer = Layer("heads", "head", "heads", None, module, neurons, linear_sources(ids.double()), 0)  # type: ignore[arg-type]
    source = torch.randn(4 * rows_per_sample, 5, width, generator=generator(), dtype=torch.float64)
    target = torch.randn(4 * rows_per_sample, 5, 6, generator=generator(1), dtype=torch.float64)
    weight = module.in_proj_weight[12:] if same else module.v_proj_weight
    expected = torch.zeros(4, 2, int(ids.max()) + 1, dtype=torch.float64)
    for row in range(len(source)):
        for token in range(5):
            for feature in range(6):
                for column in range(width):
                    edge = weight[feature, column] * source[row, token, column] * target[row, token, feature]
                    expected[row // rows_per_sample, feature // 3, ids[token, column]] += edge.detach()
    signed, absolute = contract_edges(layer, (Term(source, target),), rows_per_sample)
    torch.testing.assert_close(dense(layer, signed, expected.shape[2]), expected.sum(dim=0))
    torch.testing.assert_close(dense(layer, absolute, expected.shape[2]), expected.abs().sum(dim=0))
    of_mean = contract_edges(layer, (Term(source, target),), rows_per_sample, absolute=False)
    torch.testing.assert_close(dense(layer, of_mean[0], expected.shape[2]), expected.sum(dim=0))


@pytest.mark.parametrize("rows_per_sample", [1, 2])
def test_edges_of_an_embedding_equal_the_explicit_sum(rows_per_sample):
    """From a token, one neuron, to each feature: what flows through that feature of it. One token stands twice."""
    ids = torch.tensor([0, 1, 2, 1])
    layer = Layer(
        "embedding", "unit", "embedding", None, nn.Embedding(7, 3), NeuronMap.of_dimension((4, 3), 1),  # type: ignore[arg-type]
        linear_sources(ids.double()), 3,
    )  # fmt: skip
    share = torch.randn(4 * rows_per_sample, 4, 3, generator=generator(), dtype=torch.float64)
    expected = torch.zeros(4, 3, 3, dtype=torch.float64)
    for row in range(len(share)):
        for token in range(4):
            for feature in range(3):
                expected[row // rows_per_sample, feature, ids[token]] += share[row, token, feature]
    found = embedding_edges(layer, share, rows_per_sample)
    torch.testing.assert_close(dense(layer, found, 3), expected)


@pytest.mark.parametrize("rows_per_sample", [1, 2])
def test_edges_of_a_junction_equal_the_explicit_sum(rows_per_sample):
    """Two operands of four neurons each, of which one has a constant in the place of its last neuron."""
    neurons = torch.tensor([[0, 4], [1, 5], [2, 6], [3, -1]])
    layer = Layer(
        "sum", "sum", "junction", None, None, NeuronMap.of_dimension((4, 3), 0), Sources.of_junction(neurons), 7  # type: ignore[arg-type]
    )  # fmt: skip
    shares = [
        torch.randn(4 * rows_per_sample, 4, 3, generator=generator(seed), dtype=torch.float64) for seed in range(2)
    ]
    expected = torch.zeros(4, 4, 2, dtype=torch.float64)
    for row in range(4 * rows_per_sample):
        for neuron in range(4):
            for operand in range(2):
                if neurons[neuron, operand] >= 0:
                    expected[row // rows_per_sample, neuron, operand] += shares[operand][row, neuron].sum()
    torch.testing.assert_close(junction_edges(layer, shares, rows_per_sample), expected)


def test_terms_of_a_rule_add_up_before_their_absolute_value_is_taken():
    module, ids = nn.Linear(6, 3).double(), features(6)
    layer = layer_of(module, ids)
    source = torch.randn(4, 6, generator=generator(), dtype=torch.float64)
    target = torch.randn(4, 3, generator=generator(1), dtype=torch.float64)
    weight = module.weight.detach()
    parts = (Term(source, target, weight.clamp(min=0)), Term(source, target, weight.clamp(max=0)))
    whole = contract_edges(layer, (Term(source, target),))
    for result, expected in zip(contract_edges(layer, parts), whole, strict=True):
        torch.testing.assert_close(result, expected)


def test_linear_edges_match_hand_worked_values():
    module = nn.Linear(2, 2, bias=False).double()
    module.weight.data = torch.tensor([[1.0, 2.0], [3.0, -1.0]]).double()
    sources = torch.tensor([[1.0, 2.0], [0.0, 1.0]]).double()
    targets = torch.tensor([[1.0, -1.0], [2.0, 1.0]]).double()
    # sum over samples of t_j s_i = [[1, 4], [-1, -1]]; of |t_j| |s_i| = [[1, 4], [1, 3]]
    signed, absolute = contract_edges(layer_of(module, features(2)), (Term(sources, targets),))
    assert signed.tolist() == [[1.0, 8.0], [-3.0, 1.0]]
    assert absolute.tolist() == [[1.0, 8.0], [3.0, 3.0]]


@pytest.mark.parametrize("module", [nn.Linear(5, 4), nn.Conv2d(2, 3, 3, padding=1)])
def test_gradient_edges_are_weight_times_its_gradient(module):
    module = module.double()
    is_linear = isinstance(module, nn.Linear)
    ids = features(5) if is_linear else channels(2, 6, 6)
    inputs = torch.randn(8, *ids.shape, generator=generator(), dtype=torch.float64)
    outputs = module(inputs)
    (gradient,) = torch.autograd.grad(outputs.square().sum(), outputs, retain_graph=True)
    outputs.square().sum().backward()
    expected = module.weight.detach() * module.weight.grad
    signed, _ = contract_edges(layer_of(module, ids), (Term(inputs, gradient),))
    torch.testing.assert_close(signed, expected if is_linear else expected.sum(dim=(2, 3)))
    by_sample = edges_per_sample(layer_of(module, ids), (Term(inputs, gradient),))
    torch.testing.assert_close(by_sample.sum(dim=0), signed)
