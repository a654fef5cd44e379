"""What must add up, for every method on every structure, in float64."""

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attrgraph_core import EdgeLimits, attribute
from attrgraph_core.attribution.conductance import Conductance, ExpectedGradients
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.methods import EDGE_METHODS
from attrgraph_core.graph.sparsify import sparsify
from tests.attrgraph_core.attribution.networks import NETWORKS, make_network

EXACT = ["deeplift", "deepshap", "lrp_epsilon", "lrp_gamma", "lrp_composite"]
BY_STEPS = {"conductance": Conductance, "expected_gradients": ExpectedGradients}
WITHOUT_CONTEXT = ("MLP", "residual CNN", "U-Net", "text CNN")
LEDGERS = ("gradient_times_activation", "lrp_epsilon", "lrp_gamma", "lrp_composite")
BACKGROUND = ("deepshap", "expected_gradients")


def method_of(name, steps=40):
    return BY_STEPS[name](steps=steps) if name in BY_STEPS else name


def baseline_of(name, inputs):
    return inputs[:2] if name in BACKGROUND else None


def graph_by(name, network, inputs, target, labels=None, steps=40):
    return attribute(
        network, inputs, target, method=method_of(name, steps), baseline=baseline_of(name, inputs), labels=labels
    )


def explained_by(name, network, inputs, labels):
    """The mean score, or its mean difference from the baselines'."""
    score = network(inputs).gather(1, labels[:, None]).mean()
    if name in LEDGERS:
        return score.item()
    baselines = baseline_of(name, inputs)
    baselines = torch.zeros_like(inputs[:1]) if baselines is None else baselines
    return (score - network(baselines)[:, labels].mean()).item()


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("method", EXACT)
@settings(max_examples=3)
@given(seed=st.integers(0, 10_000))
def test_what_is_explained_is_shared_out_to_the_last_digit(method, network_name, seed):
    network, inputs, labels = make_network(network_name, seed)
    for target in (labels,) if method.startswith("lrp") else (labels, "loss"):
        graph = graph_by(method, network, inputs, target, labels)
        assert graph.completeness_delta < 1e-10


@pytest.mark.parametrize(
    ("method", "network_name"),
    # Normalisation and smooth activations keep what no column of the table holds.
    [(method, name) for method in EDGE_METHODS for name in WITHOUT_CONTEXT if name == "MLP" or method not in LEDGERS],
)
def test_input_and_ledger_sum_to_the_score(method, network_name):
    """Not by our own delta but from the table: networks without context, so the score is the network's own."""
    network, inputs, labels = make_network(network_name)
    if network_name == "residual CNN":
        network.group_norm = torch.nn.Identity()
    graph = graph_by(method, network, inputs, labels, steps=400)
    at_input = graph.neurons[graph.neurons.kind == "input"]["attribution"].sum()
    expected = explained_by(method, network, inputs, labels)
    if method in LEDGERS:
        at_input += graph.neurons[["absorbed_by_bias", "absorbed_by_stabiliser"]].to_numpy().sum()
    tolerance = 2e-3 if method in BY_STEPS else 1e-10
    assert at_input == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("method", EDGE_METHODS)
def test_edges_into_a_neuron_and_what_was_absorbed_are_its_attribution(method, network_name):
    network, inputs, labels = make_network(network_name)
    graph = graph_by(method, network, inputs, labels)
    table = with_sums(graph)
    read = table[table.kind != "input"]
    kept = read.absorbed_by_bias + read.absorbed_by_stabiliser
    if method in ("deeplift", "deepshap", *BY_STEPS):
        products = read.kind == "product"  # a product's derivative counts it twice along a way, and not by DeepLIFT
        exact = ~products if method in BY_STEPS else products | ~products
        assert kept[exact].abs().max() < 1e-10
    assert (read.incoming + kept - read.attribution).abs().max() < 1e-10


@pytest.mark.parametrize("network_name", ["MLP", "U-Net", "text CNN"])
@pytest.mark.parametrize("method", ["deeplift", "deepshap", "lrp_epsilon", "lrp_gamma", "lrp_composite"])
def test_edges_out_of_a_neuron_are_its_attribution(method, network_name):
    """Where nothing between two layers keeps a share: every consumer counts, skips and concatenations included."""
    network, inputs, labels = make_network(network_name)
    table = with_sums(graph_by(method, network, inputs, labels))
    hidden = table[table.kind != "output"]
    assert (hidden.outgoing - hidden.attribution).abs().max() < 1e-10


def with_sums(graph) -> pd.DataFrame:
    incoming = graph.edges.groupby(["target_layer", "target_index"])["weight"].sum().rename("incoming")
    outgoing = graph.edges.groupby(["source_layer", "source_index"])["weight"].sum().rename("outgoing")
    table = graph.neurons.join(incoming, on=["layer", "index"]).join(outgoing, on=["layer", "index"])
    return table.fillna({"incoming": 0.0, "outgoing": 0.0})


@pytest.mark.parametrize("network_name", NETWORKS)
def test_gradient_edges_are_the_weights_times_their_gradient(network_name):
    """`W ⊙ ∂F/∂W` from autograd on the network itself, skips, concatenations and attention included."""
    network, inputs, labels = make_network(network_name)
    graph = attribute(network, inputs, labels, method="gradient_times_activation")
    structure = network_structure(network, inputs)
    network.requires_grad_(True).zero_grad()
    network(inputs).gather(1, labels[:, None]).sum().backward()
    for layer in structure.layers:
        if layer.operation != "weighted":
            continue
        edges = graph.edges[graph.edges.target_layer == layer.name]
        weight = layer.module.weight
        product = (weight * weight.grad).detach() / len(inputs)
        if isinstance(layer.module, torch.nn.ConvTranspose2d):
            product = product.transpose(0, 1)
        by_target = product.reshape(len(product), -1).sum(dim=1)
        if layer.sources.mask is not None:
            continue  # a constant has no edge, but a gradient
        found = edges.groupby("target_index")["weight"].sum().to_numpy()
        assert abs(found - by_target.numpy()).max() < 1e-10


@pytest.mark.parametrize("network_name", NETWORKS)
def test_conductance_gap_falls_with_more_steps(network_name):
    network, inputs, labels = make_network(network_name)
    few, many = (
        attribute(network, inputs, labels, method=Conductance(steps=steps)).completeness_delta for steps in (30, 600)
    )
    assert many < few / 4 or many < 1e-8
    assert many < 1e-2


def test_layers_read_what_reaches_them():
    """Adjacency of a U-Net: the layer behind the concatenation reads both."""
    network, inputs, labels = make_network("U-Net")
    graph = attribute(network, inputs, labels)
    joined = graph.edges.groupby(["source_layer", "target_layer"]).size().to_dict()
    assert joined == {
        ("input", "down"): 48, ("down", "bottom"): 12, ("bottom", "up"): 12, ("down", "joined"): 9,
        ("up", "joined"): 9, ("joined", "output"): 9,
    }  # fmt: skip


def test_a_residual_stream_has_one_neuron_a_feature():
    network, inputs, labels = make_network("own attention")
    graph = attribute(network, inputs, labels)
    widths = graph.neurons.groupby("layer", sort=False).size().to_dict()
    assert widths == {
        "input": 12, "embed": 8, "qkv": 24, "project": 8, "sum": 8, "gate": 8, "product": 8, "output": 3,
    }  # fmt: skip
    joined = graph.edges[graph.edges.target_layer == "sum"]
    assert joined.groupby("source_layer").size().to_dict() == {"embed": 8, "project": 8}


def test_heads_are_neurons():
    network, inputs, labels = make_network("text encoder")
    graph = attribute(network, inputs, labels)
    heads = graph.neurons[graph.neurons.kind == "head"]
    assert heads[["layer", "index"]].to_numpy().tolist() == [
        ["encoder.layers.0.self_attn", 0], ["encoder.layers.0.self_attn", 1],
        ["encoder.layers.1.self_attn", 0], ["encoder.layers.1.self_attn", 1],
    ]  # fmt: skip
    assert len(graph.neurons[graph.neurons.kind == "input"]) == 5  # a neuron a token


@pytest.mark.parametrize("network_name", NETWORKS)
def test_edges_kept_layer_by_layer_are_those_that_sparsify_keeps(network_name):
    network, inputs, labels = make_network(network_name)
    limits = EdgeLimits(edge_mass=0.7, max_edges_per_neuron=4)
    whole = sparsify(attribute(network, inputs, labels), limits.edge_mass, limits.max_edges_per_neuron)
    graph = attribute(network, inputs, labels, keep=limits)
    kept = sparsify(graph, limits.edge_mass, limits.max_edges_per_neuron)
    assert len(graph.edges) == len(kept.graph.edges)
    pd.testing.assert_frame_equal(kept.graph.edges, whole.graph.edges)
    pd.testing.assert_frame_equal(
        kept.graph.neurons.sort_index(axis=1), whole.graph.neurons.sort_index(axis=1), check_exact=False, rtol=1e-12
    )
    assert kept.kept_mass == pytest.approx(whole.kept_mass)
    assert kept.total_edge_count == whole.total_edge_count
