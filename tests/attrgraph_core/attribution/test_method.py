import pytest
import torch
from torch import nn

from attrgraph_core import attribute
from attrgraph_core.attribution import method
from attrgraph_core.attribution.conductance import Conductance
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.methods import edge_method


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)).double()


@pytest.mark.parametrize(
    ("elements", "samples", "at_once"),
    [(12 * 5 * 4, 4, 4), (12 * 5 * 4, 5, 3), (12 * 5 * 4, 9, 3), (1, 9, 1)],
    ids=["all fit", "two parts", "three parts", "none fits"],
)
def test_samples_of_several_rows_are_taken_in_equal_parts_that_fit(monkeypatch, elements, samples, at_once):
    # A sample has 6 + 4 + 2 elements in all layers, and a row for each of five points.
    monkeypatch.setattr(method, "ELEMENTS_AT_ONCE", elements)
    structure = network_structure(network(), torch.randn(2, 6).double())
    assert Conductance(steps=4).samples_at_once(structure, 1, samples) == at_once
    assert edge_method("deeplift").samples_at_once(structure, 1, samples) == samples  # a sample is a row


def test_parts_of_a_batch_give_what_the_batch_gives(monkeypatch):
    inputs = torch.randn(7, 6).double()
    whole = attribute(network(), inputs, target=1, method=Conductance(steps=4))
    monkeypatch.setattr(method, "ELEMENTS_AT_ONCE", 12 * 5 * 2)
    parts = attribute(network(), inputs, target=1, method=Conductance(steps=4))
    for table in ("neurons", "edges"):
        numbers = [getattr(graph, table).select_dtypes("number").to_numpy() for graph in (whole, parts)]
        torch.testing.assert_close(*map(torch.from_numpy, numbers))
