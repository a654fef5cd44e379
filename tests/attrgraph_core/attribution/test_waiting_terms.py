import pytest
import torch
from torch import nn

from attrgraph_core import attribute_dataset
from attrgraph_core.attribution import graph_sums, waiting_terms
from attrgraph_core.attribution.contraction import contract_edges
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.term import Term
from attrgraph_core.attribution.waiting_terms import WaitingTerms

CLASSES = 3


def mlp() -> tuple[nn.Module, torch.Tensor]:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES)), torch.randn(24, 6)


def cnn() -> tuple[nn.Module, torch.Tensor]:
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES)
    )
    return network, torch.randn(24, 2, 6, 6)


@pytest.mark.parametrize("method", ["gradient_times_activation", "conductance", "lrp_epsilon"])
@pytest.mark.parametrize("make", [mlp, cnn])
@pytest.mark.parametrize("absolute", [False, True], ids=["signed", "absolute"])
def test_edges_that_waited_are_those_that_did_not(monkeypatch, method, make, absolute):
    torch.manual_seed(0)
    network, inputs = make()
    network, inputs, labels = network.double(), inputs.double(), torch.arange(24) % CLASSES
    batches = [(inputs[start : start + 5], labels[start : start + 5]) for start in range(0, 24, 5)]
    calls = []

    def counted(*arguments, **keywords):
        calls.append(arguments[0].name)
        return contract_edges(*arguments, **keywords)

    monkeypatch.setattr(graph_sums, "contract_edges", counted)
    graphs, counts = [], []
    for part in (0.1, 1e9):  # many samples wait; none waits
        monkeypatch.setattr(waiting_terms, "PART", part)
        graphs.append(attribute_dataset(network, batches, "class", method=method, baseline="zeros", absolute=absolute))
        counts.append(len(calls))
        calls.clear()
    for label, found in graphs[0].items():
        for table in ("neurons", "edges"):
            numbers = [getattr(graph, table).select_dtypes("number").to_numpy() for graph in (found, graphs[1][label])]
            torch.testing.assert_close(*map(torch.from_numpy, numbers))
    # LRP's terms have weights of their own; a sum of several rows has to be made before its absolute value.
    never = method == "lrp_epsilon" or (make is cnn and absolute)
    assert counts[0] == counts[1] if never else counts[0] < counts[1]


def test_what_waits_is_small_and_holds_nothing_else_of_its_batch():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 2))
    layer = network_structure(network, torch.randn(2, 40)).layers[0]
    waiting, batch = WaitingTerms(), Term(torch.randn(100, 40), torch.randn(100, 30))
    # 40 x 30 weights: edges are made of five samples, which have more than a quarter of them in their 70 factors.
    taken = [waiting.join(layer, (Term(batch.source[i : i + 2], batch.target[i : i + 2]),), 1, False) for i in (0, 2)]
    assert taken == [(), ()]
    (ready,) = waiting.join(layer, (Term(batch.source[4:5], batch.target[4:5]),), 1, False)
    torch.testing.assert_close(ready.source, batch.source[:5])
    torch.testing.assert_close(ready.target, batch.target[:5])
    assert list(waiting.rest()) == []
    waiting.join(layer, (Term(batch.source[:1], batch.target[:1]),), 1, False)
    ((found, absolute, (rest,)),) = waiting.rest()
    assert (found, absolute) == (layer, False)
    assert rest.source.untyped_storage().nbytes() == 40 * 4
    assert list(waiting.rest()) == []


def test_pixels_wait_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(waiting_terms, "MOST_ELEMENTS", 3 * (3 * 64 + 8 * 64))
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2))
    layer = network_structure(network, torch.randn(2, 3, 8, 8)).layers[0]
    waiting, term = WaitingTerms(), Term(torch.randn(1, 3, 8, 8), torch.randn(1, 8, 8, 8))
    taken = [len(waiting.join(layer, (term,), 1, False)) for _ in range(3)]
    assert taken == [0, 0, 1]
