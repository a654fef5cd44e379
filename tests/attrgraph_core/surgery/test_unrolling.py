"""Unrolled networks: the same function, neurons that are positions, zeros that stay, surgery as on linear layers."""

from collections import OrderedDict

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from attrgraph_core.attribution.attribute import attribute
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.ablate import ablate
from attrgraph_core.surgery.failure_edges import failure_edges, failure_graphs
from attrgraph_core.surgery.fine_tuning import FineTuning
from attrgraph_core.surgery.samples import Samples
from attrgraph_core.surgery.target_edges import target_edges
from attrgraph_core.surgery.unrolling import unroll
from attrgraph_core.surgery.weight_entries import WeightEntries, layers_with_edges
from attrgraph_core.targeting.target_neurons import target_neurons

POOLS = [
    nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2, padding=1), nn.MaxPool2d(3, stride=2, ceil_mode=True),
    nn.MaxPool2d(2, stride=1, dilation=2), nn.AdaptiveMaxPool2d((2, 3)), nn.AvgPool2d(2),
    nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), nn.AdaptiveAvgPool2d((3, 1)),
]  # fmt: skip


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(*modules: nn.Module, sample: torch.Tensor, classes: int = 3) -> nn.Sequential:
    """Named c0, c1, ..., then `output` on all that comes out; float64, weights by a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for module in modules:
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        body = nn.Sequential(OrderedDict((f"c{place}", module) for place, module in enumerate(modules)))
        width = body.double()(sample[:1]).numel()
        return nn.Sequential(
            *([] if not modules else [body]), nn.Flatten(), nn.Linear(width, classes).double()
        ).eval()  # fmt: skip


@pytest.fixture
def cnn() -> nn.Sequential:
    """Images of 2 channels of 6 x 6, two convolutions and a pooling between."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(2, 4, 3, padding=1), relu1=nn.ReLU(), pool=nn.MaxPool2d(2),
                conv2=nn.Conv2d(4, 3, 2, bias=False), relu2=nn.ReLU(), flatten=nn.Flatten(), output=nn.Linear(12, 3),
            )
        ).double()  # fmt: skip


def test_the_weight_has_each_tap_once_a_position():
    conv = nn.Conv1d(1, 1, 2)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[[1.0, 2.0]]]))
        conv.bias.fill_(0.5)
    model = nn.Sequential(OrderedDict(conv=conv, flatten=nn.Flatten(), output=nn.Linear(2, 2)))
    unrolled = unroll(model, torch.zeros(1, 1, 3))
    assert unrolled.conv.positions.weight.tolist() == [[1.0, 2.0, 0.0], [0.0, 1.0, 2.0]]
    assert unrolled.conv.positions.bias.tolist() == [0.5, 0.5]
    assert model.conv is conv
    assert torch.equal(unrolled.output.weight, model.output.weight)
    assert unrolled.output.weight is not model.output.weight


@st.composite
def convolutions(draw) -> tuple[nn.Module, torch.Tensor]:
    dimensions = draw(st.sampled_from([1, 2]))
    groups = draw(st.sampled_from([1, 2]))
    is_transposed = draw(st.booleans())
    kernel = draw(st.tuples(*[st.integers(1, 3)] * dimensions))
    about = {
        "kernel_size": kernel, "stride": draw(st.integers(1, 2)), "dilation": draw(st.integers(1, 2)),
        "padding": draw(st.integers(0, 2)), "groups": groups, "bias": draw(st.booleans()),
    }  # fmt: skip
    kinds = (nn.ConvTranspose1d, nn.ConvTranspose2d) if is_transposed else (nn.Conv1d, nn.Conv2d)
    if not is_transposed:
        about["padding_mode"] = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    sizes = draw(st.tuples(*[st.integers(5, 7)] * dimensions))
    return kinds[dimensions - 1](2 * groups, 2 * groups, **about), images(3, 2 * groups, *sizes)


@settings(deadline=None, max_examples=60)
@given(convolutions(), st.sampled_from([(torch.float64, 1e-10), (torch.float32, 1e-5)]))
def test_any_convolution_computes_the_same(made, precision):
    (module, inputs), (dtype, tolerance) = made, precision
    model = network(module, nn.ReLU(), sample=inputs).to(dtype)
    unrolled = unroll(model, inputs.to(dtype))
    with torch.no_grad():
        torch.testing.assert_close(
            unrolled(inputs.to(dtype)), model(inputs.to(dtype)), rtol=tolerance, atol=tolerance
        )  # fmt: skip


def test_volumes_unroll_as_images_do():
    inputs = images(2, 1, 3, 4, 3)
    model = network(nn.Conv3d(1, 2, 2, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(2, 2, 1), sample=inputs)
    with torch.no_grad():
        torch.testing.assert_close(unroll(model, inputs)(inputs), model(inputs), rtol=0, atol=1e-10)


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("is_first", [False, True])
def test_any_pooling_computes_the_same(pool: nn.Module, is_first: bool):
    inputs = images(4, 2, 7, 6)
    before = [] if is_first else [nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)]
    after = [nn.Conv2d(2 if is_first else 3, 2, 1), nn.ReLU()]
    model = network(*before, pool, *after, sample=inputs)
    unrolled = unroll(model, inputs)
    with torch.no_grad():
        torch.testing.assert_close(unrolled(inputs), model(inputs), rtol=0, atol=1e-10)
    graph = attribute(unrolled, inputs, 0, baseline="zeros")
    assert graph.completeness_delta < 1e-10
    ends = ["source_layer", "source_index", "target_layer", "target_index"]
    assert not graph.edges.duplicated(ends).any()


def test_channels_are_the_sums_of_their_positions():
    inputs = images(5, 2, 5, 5)
    model = network(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.ReLU(), sample=inputs)
    wholes, parts = (attribute(own, inputs, 1, baseline="zeros") for own in (model, unroll(model, inputs)))
    for layer, positions in (("0.c0", 9), ("0.c2", 4)):
        whole = wholes.neurons.query("layer == @layer")["attribution"]
        part = parts.neurons[parts.neurons["layer"] == f"{layer}.positions"]
        summed = part["attribution"].groupby(part["index"] // positions).sum()
        assert summed.to_numpy() == pytest.approx(whole.to_numpy(), abs=1e-10)
    whole = wholes.edges.query("source_layer == '0.c0'").set_index(["source_index", "target_index"])["weight"]
    part = parts.edges.query("source_layer == '0.c0.positions'")
    summed = part["weight"].groupby([part["source_index"] // 9, part["target_index"] // 4]).sum()
    assert summed.to_numpy() == pytest.approx(whole.sort_index().to_numpy(), abs=1e-10)


def test_training_fills_no_zero(cnn):
    inputs, labels = images(20, 2, 6, 6), torch.arange(20) % 3
    unrolled = unroll(cnn, inputs)
    layers = [unrolled.conv1.positions, unrolled.conv2.positions]
    before = [layer.weight.detach().clone() for layer in layers]
    assert [int((weight != 0).sum()) for weight in before] == [2 * 4 * 16**2, 4 * 3 * 4 * 4]  # 16 of 6 + 4 + 6 rows
    for optimizer in (
        torch.optim.SGD(unrolled.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1),
        torch.optim.AdamW(unrolled.parameters(), lr=0.1),
    ):
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(unrolled(inputs), labels).backward()
            optimizer.step()
    FineTuning(1e-2, 3).run(unrolled, Samples(inputs, labels))
    for layer, weight in zip(layers, before, strict=True):
        assert torch.equal(layer.weight == 0, weight == 0)
        assert not torch.isclose(layer.weight, weight)[weight != 0].all()


def test_an_edge_of_one_position_is_removed_trained_and_put_back(cnn):
    inputs = images(6, 2, 6, 6)
    unrolled = unroll(cnn, inputs)
    edge = pd.DataFrame(
        [("input", 7, "conv1.positions", 36 + 7)], columns=["source_layer", "source_index", "target_layer",
                                                            "target_index"]
    )  # fmt: skip
    before = {name: value.clone() for name, value in unrolled.state_dict().items()}
    assert before["conv1.positions.weight"][43, 7] == cnn.conv1.weight[1, 0, 1, 1]  # the middle of the kernel
    change = ablate(unrolled, edge, inputs)
    assert (change.count, unrolled.conv1.positions.weight[43, 7]) == (2, 0.0)
    moved = before["conv1.positions.weight"][43, 7] * inputs[:, 0, 1, 1].mean()
    taken_over = unrolled.conv1.positions.bias[43] - before["conv1.positions.bias"][43]
    assert taken_over.item() == pytest.approx(moved.item(), abs=1e-12)
    change.undo(unrolled)
    assert all(torch.equal(value, before[name]) for name, value in unrolled.state_dict().items())
    with target_edges(unrolled, WeightEntries.of_edges(unrolled, inputs, edge)) as targeted:
        optimizer = torch.optim.SGD(targeted.parameters(), lr=1.0)
        unrolled(inputs).sum().backward()
        optimizer.step()
    now = unrolled.state_dict()
    differs = {name: (now[name] != before[name]).nonzero().tolist() for name in now}
    assert {name: places for name, places in differs.items() if places} == {"conv1.positions.weight": [[43, 7]]}


def test_edges_of_pixels_can_be_removed_and_those_out_of_reach_are_none(cnn):
    inputs, labels = images(12, 2, 6, 6), torch.arange(12) % 3
    unrolled = unroll(cnn, inputs)
    wrong = (unrolled(inputs).argmax(dim=1) != labels).nonzero().squeeze(1)
    right = (unrolled(inputs).argmax(dim=1) == labels).nonzero().squeeze(1)
    edges = failure_edges(*failure_graphs(unrolled, *((inputs[rows], labels[rows]) for rows in (wrong, right))))
    counts = {"conv1.positions": 2048, "conv2.positions": 192, "output": 36}
    found = edges[edges["target_layer"].isin(layers_with_edges(unrolled, inputs))]
    assert found.groupby("target_layer").size().to_dict() == counts
    assert set(found["source_layer"]) == {"input", "pool.sum_4", "conv2.positions"}
    assert 0 < WeightEntries.of_edges(unrolled, inputs, found).count == 2048 + 192 + 36


def test_rows_that_train_alone_would_fill_zeros(cnn):
    unrolled = unroll(cnn, images(1, 2, 6, 6))
    with (
        pytest.raises(AttrGraphError, match=r"'conv1\.positions' has a hook .* choose weight entries by target_edges"),
        target_neurons(unrolled, {"conv1.positions": [0]}),
    ):
        pass
    with target_neurons(unrolled, {"output": [0]}):
        pass


def test_the_model_and_the_random_state_are_left_alone(cnn):
    cnn.train()
    state, before = torch.get_rng_state(), {name: value.clone() for name, value in cnn.state_dict().items()}
    cnn.conv2.requires_grad_(False)
    unrolled = unroll(cnn, images(1, 2, 6, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert cnn.training
    assert cnn.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in cnn.state_dict().items())
    assert not cnn.conv1._forward_hooks
    assert (unrolled.conv1.positions.weight.requires_grad, unrolled.conv2.positions.weight.requires_grad) == (
        True, False,
    )  # fmt: skip


class _Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.output = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(16, 2)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.output(self.conv(self.conv(values)).flatten(1))


class _Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.output = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(4, 2)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.output(functional.max_pool2d(self.conv(values), 2).flatten(1))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), "Sequential has no convolution"),
        (_Twice(), "'conv' is called more than once; give each place a module of its own"),
        (_Functional(), "mixes neurons outside a layer: max_pool2d .* Pools of positions must be modules"),
    ],
)
def test_what_cannot_be_unrolled_is_refused(model: nn.Module, message: str):
    with pytest.raises(AttrGraphError, match=message):
        unroll(model, torch.zeros(1, 1, 4, 4))


def test_dense_weights_have_a_limit(cnn):
    most = 8 * (72 * 144 + 144 * 36 + 36 * 12)  # two convolutions, and a pooling between them
    unroll(cnn, images(1, 2, 6, 6), most_bytes=most)
    with pytest.raises(
        AttrGraphError, match=r"takes 0\.122 MiB, 0\.0791 of them for 'conv1'; 0\.122 are allowed \(most"
    ):
        unroll(cnn, images(1, 2, 6, 6), most_bytes=most - 1)
