"""Graphs without edges: whatever the network is made of, batch by batch, through everything that takes a graph."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError, EdgeLimits, attribute, attribute_dataset
from attrgraph_core.attribution.linter import lint
from attrgraph_core.attribution.methods import NEURON_METHODS
from attrgraph_core.attribution.neuron_methods import neuron_method
from attrgraph_core.attribution.neuron_methods.gradient_shap import GradientShap
from attrgraph_core.attribution.neuron_methods.kernel_shap import KernelShap
from attrgraph_core.attribution.neuron_methods.layer_integrated_gradients import LayerIntegratedGradients
from attrgraph_core.attribution.neuron_methods.lime import Lime
from attrgraph_core.attribution.neuron_methods.occlusion import Occlusion
from attrgraph_core.attribution.summit import top_influence_counts
from attrgraph_core.graph.canonical_graph import canonical_graph
from attrgraph_core.graph.sparsify import sparsify
from tests.attrgraph_core.attribution.networks import NETWORKS, make_network

QUICK = {
    "kernel_shap": KernelShap(draws=64),
    "lime": Lime(draws=64),
    "gradient_shap": GradientShap(draws=2000),
    "layer_integrated_gradients": LayerIntegratedGradients(steps=200),
}
COMPLETE = ("integrated_gradients", "layer_integrated_gradients", "ig2", "deeplift_shap", "kernel_shap")
LARGEST_GAP = 0.05  # at the kinks of ReLU; of draws for GradientSHAP
TOKENS = ("text CNN", "text encoder")


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("method", NEURON_METHODS)
def test_every_network_is_attributed_or_refused_before_any_work(method, network_name):
    """Lint and attribution agree, and what is claimed to add up does."""
    network, inputs, labels = make_network(network_name)
    inputs, labels = inputs[:3], labels[:3]
    refused = [found for found in lint(network, inputs, method) if found.severity == "refused"]
    if refused:
        assert method == "deeplift_shap" or network_name in TOKENS
        with pytest.raises(AttrGraphError, match=f"{method} is not for this network: {refused[0].place}"):
            attribute(network, inputs, labels, method=method, baseline=inputs[:2])
        return
    graph = attribute(network, inputs, labels, method=QUICK.get(method, method), baseline=inputs[:2])
    assert len(graph.neurons) >= 3
    if method in COMPLETE or method == "gradient_shap":
        assert graph.completeness_delta < LARGEST_GAP * (3 if method == "gradient_shap" else 1)


@pytest.mark.parametrize("method", NEURON_METHODS)
def test_a_graph_without_edges_is_taken_by_what_takes_graphs(method):
    network, inputs, labels = make_network("MLP")
    graph = attribute(network, inputs, labels, method=QUICK.get(method, method), baseline=inputs[:2], keep=EdgeLimits())
    whole = attribute(network, inputs, labels)
    assert graph.edges.empty
    assert graph.edges.dtypes.to_dict() == whole.edges.dtypes.to_dict()
    kept = sparsify(graph)
    assert (kept.kept_mass, kept.total_edge_count, len(kept.graph.edges)) == (1.0, 0, 0)
    assert kept.graph.neurons[["total_in", "kept_in", "total_out"]].to_numpy().sum() == 0
    pd.testing.assert_frame_equal(canonical_graph(graph).graph.neurons, graph.neurons)
    with pytest.raises(AttrGraphError, match=f"{method} gives neurons and no edges; methods with edges are deeplift"):
        top_influence_counts(network, [(inputs, labels)], method=method)


@pytest.mark.parametrize("method", ["saliency", "layer_integrated_gradients", "feature_ablation"])
def test_batches_and_classes_are_parts_of_the_whole(method):
    network, inputs, labels = make_network("residual CNN")
    method = QUICK.get(method, method)
    graphs = attribute_dataset(network, [(inputs[:2], labels[:2]), (inputs[2:], labels[2:])], "all", method=method)
    assert list(graphs) == ["class:0", "class:1", "class:2", "label"]
    whole = attribute(network, inputs, labels, method=method)
    np.testing.assert_allclose(graphs["label"].neurons["attribution"], whole.neurons["attribution"], atol=1e-12)
    alone = attribute(network, inputs[labels == 1], 1, method=method)
    np.testing.assert_allclose(graphs["class:1"].neurons["attribution"], alone.neurons["attribution"], atol=1e-12)
    assert graphs["label"].completeness_delta == pytest.approx(whole.completeness_delta)


@pytest.mark.parametrize("method", ["integrated_gradients", "layer_integrated_gradients", "kernel_shap", "ig2"])
@pytest.mark.parametrize("target", ["loss", "combination"])
def test_loss_and_combinations_are_explained_too(method, target):
    network, inputs, labels = make_network("smooth MLP")
    asked = "loss" if target == "loss" else torch.eye(3)[labels] - torch.eye(3)[(labels + 1) % 3]
    graph = attribute(network, inputs, asked, labels=labels, method=QUICK.get(method, method), baseline=inputs[:1])
    assert graph.target == target
    assert graph.completeness_delta < 1e-3
    at_output = graph.neurons[graph.neurons.kind == "output"]["attribution"].sum()
    at_input = graph.neurons[graph.neurons.kind == "input"]["attribution"].sum()
    assert at_output == pytest.approx(at_input, abs=1e-3)


def test_layers_sum_to_the_score_where_all_paths_cross():
    network, inputs, labels = make_network("U-Net")
    graph = attribute(network, inputs, labels, method="layer_integrated_gradients")
    structure_sums = graph.neurons.groupby("layer", sort=False)["attribution"].sum()
    explained = (network(inputs) - network(torch.zeros_like(inputs[:1]))).gather(1, labels[:, None]).mean().item()
    assert structure_sums[["input", "down", "joined", "output"]].tolist() == pytest.approx([explained] * 4, rel=0.05)
    assert abs(structure_sums["bottom"] - explained) > 0.05 * abs(explained)  # a skip connection passes it by


def test_a_token_gets_what_its_embedding_gets():
    network, inputs, labels = make_network("text encoder")
    graph = attribute(network, inputs, labels, method="layer_integrated_gradients")
    sums = graph.neurons.groupby("layer", sort=False)["attribution"].sum()
    assert sums["input"] == pytest.approx(sums["embedding"], abs=1e-12)
    assert len(graph.neurons[graph.neurons.layer == "input"]) == 5


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "kernel_shap",
            r"input has 1600 features, and a .* \(1024 at most\); take gradient_shap",
        ),
        ("lime", "lime is not for this network: input has 1600 features"),
        (
            "feature_ablation",
            r"sends 3,200 inputs through the network, more than 1,000; give fewer samples, or take oc",
        ),
        ("occlusion", r"occlusion of these samples sends 2,888 inputs"),
        ("ace", "inputs through the network, more than 1,000; give fewer samples and backgrounds, or take cond"),
    ],
)
def test_what_would_never_end_is_refused_with_the_way_out(method, message, monkeypatch):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    monkeypatch.setattr(neuron_method, "MOST_ROWS", 1000)
    inputs = torch.zeros(2, 1, 40, 40)
    with pytest.raises(AttrGraphError, match=message):
        attribute(network, inputs, 0, method=method, baseline=inputs if method == "ace" else None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KernelShap(draws=1), "needs 2 draws or more, not 1"),
        (lambda: Lime(alpha=0), "penalty of LIME's lasso is above 0"),
        (lambda: GradientShap(draws=0), "1 draw or more and noise from 0 on, not 0"),
        (lambda: Occlusion(2, 3), "windows of 2 moved by 3 leave gaps"),
    ],
)
def test_nonsense_is_refused_when_a_method_is_made(make, message):
    with pytest.raises(AttrGraphError, match=message):
        make()


def test_one_feature_has_no_coalitions():
    network = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(AttrGraphError, match="input has one feature, so no coalitions; take feature_ablation"):
        attribute(network, torch.ones(2, 1), 0, method="kernel_shap")
