"""Exact ablation against networks whose weights are edited by hand, and what no single-edge score sees."""

import pandas as pd
import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.ablation import ablate_edges, ablate_neurons
from tests.attrgraph_core.attribution.networks import make_network


def edges_of(graph) -> list[tuple[str, int, str, int]]:
    columns = ["source_layer", "source_index", "target_layer", "target_index"]
    return list(graph.edges[columns].itertuples(index=False, name=None))


def linear_network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)).double()
    return network, torch.randn(7, 4, dtype=torch.float64), torch.arange(7) % 3


def test_in_a_linear_network_an_edge_is_worth_what_it_carries():
    network, inputs, labels = linear_network()
    graph = attribute(network, inputs, labels, method="gradient_times_activation")
    effects = ablate_edges(network, inputs, labels, edges_of(graph))
    assert effects["effect"].tolist() == pytest.approx(graph.edges["weight"].tolist(), abs=1e-12)
    assert effects["abs_effect"].tolist() == pytest.approx(graph.edges["abs_weight"].tolist(), abs=1e-12)


def test_a_mean_ablated_edge_is_worth_deeplift_from_the_mean():
    network, inputs, labels = linear_network()
    graph = attribute(network, inputs, labels, baseline="mean")
    effects = ablate_edges(network, inputs, labels, edges_of(graph), kind="mean")
    assert effects["effect"].tolist() == pytest.approx(graph.edges["weight"].tolist(), abs=1e-12)


@pytest.mark.parametrize("name", ["MLP", "residual CNN"])
def test_an_edge_of_weights_is_ablated_as_if_its_weights_were_zero(name):
    network, inputs, labels = make_network(name)
    layer, source, target, column, row = {
        "MLP": ("2", "0", 4, 3, 4), "residual CNN": ("output", "sum", 1, slice(4, 8), 1),
    }[name]  # fmt: skip
    index = 3 if name == "MLP" else 1  # of the source: a flattened channel has four columns
    found = ablate_edges(network, inputs, labels, [(source, index, layer, target)])["effect"].item()
    before = network(inputs).gather(1, labels[:, None])
    with torch.no_grad():
        network.get_submodule(layer).weight[row, column] = 0
    expected = (before - network(inputs).gather(1, labels[:, None])).mean().item()
    assert abs(expected) > 1e-6
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_neuron_is_ablated_for_all_that_read_it():
    """A channel of the U-Net's first layer, read by the layer below and behind the concatenation."""
    network, inputs, labels = make_network("U-Net")
    found = ablate_neurons(network, inputs, labels, [("down", 1), ("input", 5)])
    before = network(inputs).gather(1, labels[:, None])
    without_pixel = inputs.clone()
    without_pixel.flatten(1)[:, 5] = 0
    after_pixel = network(without_pixel).gather(1, labels[:, None])
    with torch.no_grad():
        network.down.weight[1], network.down.bias[1] = 0, 0
    expected = [before - network(inputs).gather(1, labels[:, None]), before - after_pixel]
    assert found["effect"].tolist() == pytest.approx([part.mean().item() for part in expected], abs=1e-12)
    assert found["abs_effect"].tolist() == pytest.approx([part.abs().mean().item() for part in expected], abs=1e-12)


def test_a_head_and_a_residual_stream_can_be_ablated():
    network, inputs, labels = make_network("text encoder")
    name = "encoder.layers.0.self_attn"
    found = ablate_neurons(network, inputs, labels, [(name, 1), (f"{name}.out_proj", 0)])["effect"]
    before = network(inputs).gather(1, labels[:, None])
    attention = network.encoder.layers[0].self_attn
    with torch.no_grad():
        attention.out_proj.weight[:, 4:] = 0  # what the second head puts out
    assert found[0] == pytest.approx((before - network(inputs).gather(1, labels[:, None])).mean().item(), abs=1e-12)
    assert abs(found[1]) > 0


def test_resampling_takes_the_value_of_another_sample():
    network, inputs, labels = linear_network()
    found = ablate_neurons(network, inputs[:2], labels[:2], [("0", 2)], kind="resample")
    hidden = network[0](inputs[:2])
    swapped = hidden.clone()
    swapped[:, 2] = hidden[[1, 0], 2]
    difference = (network[1:](hidden) - network[1:](swapped)).gather(1, labels[:2, None])
    assert found["effect"].item() == pytest.approx(difference.mean().item(), abs=1e-12)
    assert found["abs_effect"].item() == pytest.approx(difference.abs().mean().item(), abs=1e-12)


@pytest.fixture
def or_gate():
    """relu(a + b) - relu(a + b - 1): 1 where a or b is 1."""
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    network[0].weight.data = torch.ones(2, 2).double()
    network[0].bias.data = torch.tensor([0.0, -1.0]).double()
    network[2].weight.data, network[2].bias.data = torch.tensor([[1.0, -1.0]]).double(), torch.zeros(1).double()
    return network


def test_an_or_gate_shows_what_single_scores_miss(or_gate):
    both = torch.ones(1, 2).double()
    inputs = [("input", 0), ("input", 1)]
    assert ablate_neurons(or_gate, both, 0, inputs)["effect"].tolist() == [0.0, 0.0]
    assert ablate_neurons(or_gate, both, 0, inputs, together=True)["effect"].tolist() == [1.0, 1.0]
    gradient = attribute(or_gate, both, 0, method="gradient_times_activation").neurons
    assert gradient[gradient.layer == "input"]["attribution"].tolist() == [0.0, 0.0]
    shares = attribute(or_gate, both, 0).neurons  # DeepLIFT halves it
    assert shares[shares.layer == "input"]["attribution"].tolist() == [0.5, 0.5]


def test_many_ablations_are_those_made_one_by_one(monkeypatch):
    network, inputs, labels = make_network("residual CNN")
    graph = attribute(network, inputs, labels, method="gradient_times_activation")
    edges = edges_of(graph)[::7]
    at_once = ablate_edges(network, inputs, labels, edges)
    one_by_one = pd.concat([ablate_edges(network, inputs, labels, [edge]) for edge in edges[:20]], ignore_index=True)
    pd.testing.assert_frame_equal(at_once[:20], one_by_one)
    monkeypatch.setattr("attrgraph_core.attribution.ablation.ROWS_AT_ONCE", 50)
    pd.testing.assert_frame_equal(at_once, ablate_edges(network, inputs, labels, edges))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda *given: ablate_neurons(*given, [("nope", 0)]), "no layer 'nope'; it has input, 0, 1, 2"),
        (lambda *given: ablate_neurons(*given, [("1", 6)]), r"layer '1' has no neuron 6; it has 6 \(0 to 5\)"),
        (lambda *given: ablate_edges(*given, [("0", 0, "2", 0)]), "no edge to ablate from 0/0 to 2/0"),
        (lambda *given: ablate_neurons(*given, [("1", 0)], kind="half"), "unknown kind of ablation 'half'"),
        (lambda *given: ablate_neurons(*given, ["1"]), r"nothing to ablate by '1'; give \(layer, index\)"),
        (lambda *given: ablate_neurons(*given, [("1", 0.5)]), r"nothing to ablate by \('1', 0.5\); give \(layer"),
        (lambda *given: ablate_neurons(*given, 3), r"what to ablate is 3; give a list of \(layer, index\)"),
        (lambda *given: ablate_edges(*given, [("0", 1)]), r"by \('0', 1\); give \(source_layer, source_index, "),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(AttrGraphError, match=message):
        call(*linear_network())


def test_an_ablation_whose_scores_are_not_finite_is_named():
    """Two units that cancel, each too large alone."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False), nn.Linear(1, 1))
    weights = [torch.eye(2), torch.tensor([[3e38, -3e38]]), torch.tensor([[10.0]])]
    for layer, weight in zip(network, weights, strict=True):
        layer.weight.data = weight
    inputs = torch.ones(3, 2)
    with pytest.raises(AttrGraphError, match="scores are not finite after an ablation by 'zero'; take another kind"):
        ablate_neurons(network, inputs, 0, [("0", 1)])
    assert len(ablate_neurons(network, inputs, 0, [("0", 1)], kind="mean")) == 1


def test_ablation_leaves_no_trace():
    network, inputs, labels = make_network("residual CNN")
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    ablate_neurons(network, inputs, labels, [("first", 0)], kind="resample")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert torch.equal(torch.get_rng_state(), random_state)
