from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError
from attrgraph_core.attribution.depara import DeepAttributionGraph, deep_attribution_graph, graph_similarity


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 4)).double()


PROBES = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)).double()


def test_graph_by_hand():
    """f = (x1, 2 x2): maps are (x1, 2 x2), edges the cosines of f."""
    model = nn.Linear(2, 2, bias=False).double()
    model.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double()
    graph = deep_attribution_graph(model, torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 1.0]]).double())
    assert graph.nodes.tolist() == [[1.0, 0.0], [0.0, 6.0], [2.0, 2.0]]
    half = 1 / np.sqrt(2)
    assert graph.edges == pytest.approx(np.array([[1, 0, half], [0, 1, half], [half, half, 1]]))


def test_similarity_by_hand():
    first = DeepAttributionGraph(
        np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([[1, 0.1, 0.2], [0.1, 1, 0.3], [0.2, 0.3, 1]])
    )
    second = DeepAttributionGraph(
        np.array([[2.0, 0], [1, 0], [-1, -1]]), np.array([[1, 0.9, 0.5], [0.9, 1, 0.4], [0.5, 0.4, 1]])
    )
    similarity = graph_similarity(first, second)
    assert similarity.node == pytest.approx((1 + 0 - 1) / 3)
    assert similarity.edge == pytest.approx(-1)  # the order of the three edges is turned round
    assert similarity.total(0.5) == pytest.approx(-0.5)


def test_a_network_is_like_itself_more_than_like_another():
    same = graph_similarity(*(deep_attribution_graph(network(0), PROBES) for _ in range(2)))
    assert (same.node, same.edge) == pytest.approx((1.0, 1.0))
    trained = network(0)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += 0.01
    near = graph_similarity(deep_attribution_graph(network(0), PROBES), deep_attribution_graph(trained, PROBES))
    far = graph_similarity(deep_attribution_graph(network(0), PROBES), deep_attribution_graph(network(1), PROBES))
    assert 1 > near.total() / 2 > 0.9 > far.total() / 2


def test_features_of_a_module_and_no_trace():
    model = network(0).train()
    graph = deep_attribution_graph(model, PROBES, "0")
    assert graph.nodes.shape == (12, 5)
    expected = PROBES * model[0].weight.sum(dim=0)
    assert graph.nodes == pytest.approx(expected.detach().numpy())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_epochs_grow_alike_as_training_settles():
    """A signal to stop by: how alike an epoch's graph and the one before are rises towards 2 while the loss falls."""
    model = network(0)
    labels = (PROBES[:, 0] > 0).long() + 2 * (PROBES[:, 1] > 0).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    graphs = [deep_attribution_graph(model, PROBES)]
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(PROBES), labels).backward()
        optimizer.step()
        graphs.append(deep_attribution_graph(model, PROBES))
    alike = [graph_similarity(*pair).total() for pair in pairwise(graphs)]
    assert np.mean(alike[:5]) < np.mean(alike[-5:])
    settled = next(epoch for epoch, total in enumerate(alike) if total > 1.995)
    assert 5 < settled < 60


def test_a_task_is_nearer_to_its_like_than_to_another():
    """A signal to transfer by: networks of one task, from other weights, are more alike than those of two tasks."""

    def trained(seed: int, column: int) -> DeepAttributionGraph:
        model, labels = network(seed), (PROBES[:, column] > 0).long()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(PROBES)[:, :2], labels).backward()
            optimizer.step()
        return deep_attribution_graph(nn.Sequential(model, Difference()), PROBES)

    same = graph_similarity(trained(0, 0), trained(1, 0))
    other = graph_similarity(trained(0, 0), trained(1, 1))
    assert same.node > other.node + 0.2
    assert same.edge > other.edge + 0.2


class Difference(nn.Module):
    def forward(self, scores):
        return scores[:, 1:2] - scores[:, :1]


def test_features_are_those_before_what_changes_them_in_place():
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(inplace=True), nn.Linear(8, 4)).double()
    apart = nn.Sequential(model[0], nn.ReLU(), model[2])
    found, expected = deep_attribution_graph(model, PROBES, "0"), deep_attribution_graph(apart, PROBES, "0")
    assert found.edges.tolist() == expected.edges.tolist()
    assert found.nodes.tolist() == expected.nodes.tolist()


class Branches(nn.Module):
    """What runs, what does not, and what does not read the probes."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused, self.constant = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(5, 4)
        self.whole, self.best = nn.Flatten(0), Best()

    def forward(self, x):
        self.whole(x)
        self.best(x)
        return self.used(x) + self.constant(torch.ones_like(x))


class Best(nn.Module):
    def forward(self, x):
        return x.argmax(dim=1)


def test_bad_input_is_named():
    for layer, message in {
        "unused": "the network does not run 'unused'; name a module that it runs",
        "constant": "what 'constant' puts out has no gradient by the probes",
        "best": "what 'best' puts out has no gradient by the probes",
        "whole": r"'whole' puts out \(60,\) of 12 probes; name a module with a row a probe",
    }.items():
        with pytest.raises(AttrGraphError, match=message):
            deep_attribution_graph(Branches().double(), PROBES, layer)
    with pytest.raises(AttrGraphError, match="2 probes have no order"):
        deep_attribution_graph(network(0), PROBES[:2])
    with pytest.raises(AttrGraphError, match="no module 'nope'; it has 0, 1, 2"):
        deep_attribution_graph(network(0), PROBES, "nope")
    with pytest.raises(AttrGraphError, match="give both networks the same probes"):
        graph_similarity(deep_attribution_graph(network(0), PROBES), deep_attribution_graph(network(0), PROBES[:5]))
    with pytest.raises(AttrGraphError, match="the probes are tokens"):
        deep_attribution_graph(network(0), PROBES.long())
    attending = nn.Sequential(nn.LSTM(5, 2)).double()
    with pytest.raises(AttrGraphError, match="the network puts out a tuple; name a module of one tensor"):
        deep_attribution_graph(attending, PROBES)
