import copy
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attrgraph_core.circuits.matching import match_neurons
from attrgraph_core.errors import AttrGraphError


@pytest.fixture
def perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()


@pytest.fixture
def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 2)
    ).double()


def permuted(model: nn.Module, first: int, order: list[int]) -> nn.Module:
    """The same function with the neurons of layer `first` in another order; neuron i of it is `order[i]` before."""
    other = copy.deepcopy(model)
    layer, reader = other[first], other[first + 2]
    layer.weight.data, layer.bias.data = layer.weight.data[order], layer.bias.data[order]
    reader.weight.data = reader.weight.data[:, order]
    return other


def test_finds_the_order_in_which_neurons_were_put(perceptron):
    inputs = torch.randn(64, 6, generator=torch.Generator().manual_seed(1)).double()
    found = match_neurons(perceptron, permuted(perceptron, 0, [3, 0, 4, 1, 2]), inputs)
    assert found["correlation"].to_numpy() == pytest.approx(1.0)
    assert found[["layer", "index", "other_index"]].to_numpy().tolist() == [
        ["0", 0, 1], ["0", 1, 3], ["0", 2, 4], ["0", 3, 0], ["0", 4, 2],
        ["2", 0, 0], ["2", 1, 1], ["2", 2, 2], ["2", 3, 3],
    ]  # fmt: skip


def test_finds_channels_by_all_their_positions(convolutional):
    inputs = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    found = match_neurons(convolutional, permuted(convolutional, 0, [2, 3, 1, 0]), inputs)
    assert found.loc[found["layer"] == "0", "other_index"].tolist() == [3, 2, 0, 1]
    assert found["correlation"].to_numpy() == pytest.approx(1.0)


def test_no_other_assignment_has_a_larger_sum_of_correlations(perceptron):
    torch.manual_seed(7)
    other = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    inputs = torch.randn(32, 6, generator=torch.Generator().manual_seed(2)).double()
    found = match_neurons(perceptron, other, inputs)
    first, second = (model[0](inputs).detach().numpy() for model in (perceptron, other))
    correlation = np.corrcoef(first.T, second.T)[:5, 5:]
    best = max(sum(correlation[i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(5)))
    own = found[found["layer"] == "0"]
    assert own["correlation"].sum() == pytest.approx(best)
    assert own["correlation"].tolist() == pytest.approx(correlation[own["index"], own["other_index"]].tolist())


def test_a_constant_neuron_correlates_with_none(perceptron):
    other = copy.deepcopy(perceptron)
    other[0].weight.data[2] = 0.0
    found = match_neurons(perceptron, other, torch.randn(16, 6).double())
    assert found.loc[(found["layer"] == "0") & (found["other_index"] == 2), "correlation"].tolist() == [0.0]


def test_layers_of_different_width_leave_neurons_without_a_match(perceptron):
    narrow = nn.Sequential(nn.Linear(6, 2), nn.ReLU(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    found = match_neurons(perceptron, narrow, torch.randn(16, 6).double())
    assert found.groupby("layer").size().to_dict() == {"0": 2, "2": 4}


def test_leaves_the_networks_as_they_were(perceptron):
    other = copy.deepcopy(perceptron).train()
    before = {name: value.clone() for name, value in perceptron.state_dict().items()}
    match_neurons(perceptron, other, torch.randn(4, 6).double())
    assert other.training
    assert all(not module._forward_hooks for model in (perceptron, other) for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in perceptron.state_dict().items())


def test_what_cannot_be_matched_is_refused(perceptron):
    with pytest.raises(AttrGraphError, match="1 samples have no correlation"):
        match_neurons(perceptron, perceptron, torch.randn(1, 6).double())
    named = nn.Sequential()
    named.add_module("first", nn.Linear(6, 3))
    named.add_module("act", nn.ReLU())
    named.add_module("last", nn.Linear(3, 3))
    with pytest.raises(AttrGraphError, match="share no hidden layer by name: 0, 2 against first"):
        match_neurons(perceptron, named.double(), torch.randn(4, 6).double())


def test_the_table_is_what_the_store_keeps(perceptron):
    found = match_neurons(perceptron, perceptron, torch.randn(8, 6).double())
    assert list(found.columns) == ["layer", "index", "other_index", "correlation"]
    pd.testing.assert_series_equal(found["index"], found["other_index"], check_names=False)
