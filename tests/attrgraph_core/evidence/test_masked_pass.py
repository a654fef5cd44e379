"""A whole circuit at once against its parts ablated one by one, on every kind of network, and edited weights."""

import numpy as np
import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.ablation import ablate_edges, ablate_neurons
from attrgraph_core.circuits.circuit import Circuit
from attrgraph_core.evidence.circuit_ablation import CircuitAblation
from tests.attrgraph_core.attribution.networks import NETWORKS, make_network

ENDS = ["source_layer", "source_index", "target_layer", "target_index"]
TOKENS = ("text CNN", "text encoder")


def edges_of(network, inputs, labels):
    graph = attribute(network, inputs, labels, method="gradient_times_activation")
    return list(graph.edges[ENDS].itertuples(index=False, name=None))


def some(values, count):
    chosen = np.random.default_rng(0).permutation(len(values))[:count]
    return [values[place] for place in chosen]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_circuit_of_all_edges_is_the_network(name):
    network, inputs, labels = make_network(name)
    ablation = CircuitAblation(network, inputs, labels)
    everything = Circuit((), tuple(edges_of(network, inputs, labels)))
    torch.testing.assert_close(ablation.only(everything), ablation.whole)
    torch.testing.assert_close(ablation.without(Circuit((), ())), ablation.whole)
    torch.testing.assert_close(ablation.without(everything), ablation.nothing(everything))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["zero", "mean", "resample"])
def test_without_one_edge_the_score_loses_what_its_exact_ablation_says(name, kind):
    network, inputs, labels = make_network(name)
    readable = [edge for edge in edges_of(network, inputs, labels) if name not in TOKENS or edge[0] != "input"]
    ablation = CircuitAblation(network, inputs, labels, kind=kind)
    edges = some(readable, 12)
    expected = ablate_edges(network, inputs, labels, edges, kind=kind)["effect"]
    lost = [(ablation.whole - ablation.without(Circuit((), (edge,)))).mean().item() for edge in edges]
    assert lost == pytest.approx(expected.tolist(), abs=1e-10)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in TOKENS])
def test_without_some_neurons_the_score_loses_their_joint_effect(name):
    network, inputs, labels = make_network(name)
    ablation = CircuitAblation(network, inputs, labels, kind="mean")
    neurons = some(neurons_before_the_scores(network, inputs), 5)
    joint = ablate_neurons(network, inputs, labels, neurons, kind="mean", together=True)["effect"][0]
    lost = (ablation.whole - ablation.without(Circuit(tuple(neurons), None))).mean().item()
    assert lost == pytest.approx(joint, abs=1e-10)


def neurons_before_the_scores(network, inputs):
    graph = attribute(network, inputs, 0, method="gradient_times_activation")
    hidden = graph.neurons[graph.neurons["kind"] != "output"]
    return list(hidden[["layer", "index"]].itertuples(index=False, name=None))


def test_a_zero_ablated_circuit_is_the_network_with_its_other_weights_zero():
    network, inputs, labels = make_network("MLP")
    kept = some(edges_of(network, inputs, labels), 40)
    found = CircuitAblation(network, inputs, labels, kind="zero").only(Circuit((), tuple(kept)))
    for layer, source in (("0", "input"), ("2", "0"), ("4", "2")):
        weight = network.get_submodule(layer).weight
        mask = torch.zeros_like(weight)
        for edge in kept:
            if (edge[0], edge[2]) == (source, layer):
                mask[edge[3], edge[1]] = 1
        with torch.no_grad():
            weight *= mask
    torch.testing.assert_close(found, network(inputs).gather(1, labels[:, None]).squeeze(1).detach())


@pytest.mark.parametrize("name", NETWORKS)
def test_as_many_edges_as_a_graph_that_keeps_all(name):
    network, inputs, labels = make_network(name)
    edges = [edge for edge in edges_of(network, inputs, labels) if name not in TOKENS or edge[0] != "input"]
    ablation = CircuitAblation(network, inputs, labels)
    assert ablation.edges.count == len(edges)
    drawn = ablation.edges.random_like(some(edges, 20), np.random.default_rng(1))
    assert len(set(drawn)) == 20
    assert set(drawn) <= set(edges)


def test_the_mean_of_other_samples_stands_in_where_they_are_given():
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    with torch.no_grad():
        network[0].weight.fill_(2.0)
        network[1].weight.fill_(1.0)
    inputs, others = torch.tensor([[1.0], [3.0]]).double(), torch.tensor([[10.0], [30.0]]).double()
    nothing = Circuit((), ())
    assert CircuitAblation(network, inputs, 0).nothing(nothing).tolist() == [4.0, 4.0]
    assert CircuitAblation(network, inputs, 0, reference=others).nothing(nothing).tolist() == [40.0, 40.0]
    resampled = CircuitAblation(network, inputs, 0, kind="resample").nothing(nothing)
    assert resampled.tolist() == [6.0, 2.0]


def test_what_cannot_be_ablated_is_named():
    network, inputs, labels = make_network("MLP")
    ablation = CircuitAblation(network, inputs, labels)
    with pytest.raises(AttrGraphError, match=r"neuron 2/9 is not in the network, whose layers are input \(5\)"):
        ablation.only(Circuit((), (("input", 0, "2", 9),)))
    with pytest.raises(AttrGraphError, match="no neuron before the scores"):
        ablation.only(Circuit((("4", 0),), None))
    with pytest.raises(AttrGraphError, match="unknown kind of ablation 'random'"):
        CircuitAblation(network, inputs, labels, kind="random")
