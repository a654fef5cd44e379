"""Which weights an edge is: read off the layout, of linear layers, convolutions, groups, and after flattening."""

from collections import OrderedDict

import pandas as pd
import pytest
import torch
from torch import nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.weight_entries import EDGE_ENDS, WeightEntries, layers_with_edges


def edges(*rows):
    return pd.DataFrame(rows, columns=list(EDGE_ENDS))


@pytest.fixture
def mlp():
    return nn.Sequential(OrderedDict(fc1=nn.Linear(3, 4), relu=nn.ReLU(), output=nn.Linear(4, 2)))


@pytest.fixture
def cnn():
    """Images of 2 channels of 4 x 4; conv2 in two groups; `output` reads 4 channels of 2 x 2 positions, flattened."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(2, 4, 3, padding=1), relu=nn.ReLU(), conv2=nn.Conv2d(4, 4, 3, padding=1, groups=2),
            pool=nn.MaxPool2d(2), flatten=nn.Flatten(), output=nn.Linear(16, 3),
        )
    )  # fmt: skip


def positions(entries):
    return {name: places.tolist() for name, places in entries.positions.items()}


def test_an_edge_of_a_linear_layer_is_one_entry(mlp):
    found = WeightEntries.of_edges(
        mlp, torch.zeros(1, 3), edges(("input", 2, "fc1", 1), ("fc1", 3, "output", 0), ("input", 0, "fc1", 0))
    )
    assert positions(found) == {"fc1.weight": [0, 5], "output.weight": [3]}
    assert found.count == 3


def test_an_edge_from_channel_to_channel_is_all_its_taps_within_its_group(cnn):
    found = WeightEntries.of_edges(cnn, torch.zeros(1, 2, 4, 4), edges(("conv1", 3, "conv2", 2)))
    assert positions(found) == {"conv2.weight": list(range((2 * 2 + 1) * 9, (2 * 2 + 2) * 9))}


def test_an_edge_out_of_a_flattened_channel_is_all_its_positions(cnn):
    found = WeightEntries.of_edges(cnn, torch.zeros(1, 2, 4, 4), edges(("conv2", 1, "output", 2)))
    assert positions(found) == {"output.weight": [2 * 16 + 4 + place for place in range(4)]}


def test_all_weights_that_read_a_neuron(mlp, cnn):
    assert positions(WeightEntries.out_of(mlp, torch.zeros(1, 3), [1])) == {"fc1.weight": [1, 4, 7, 10]}
    of_channel = positions(WeightEntries.out_of(cnn, torch.zeros(1, 2, 4, 4), [0], layer="conv1"))
    assert of_channel == {"conv2.weight": [*range(9), *range(18, 27)]}


def test_the_weights_into_neurons(mlp, cnn):
    assert positions(WeightEntries.into(mlp, {"fc1": [2]}, biases=True)) == {"fc1.weight": [6, 7, 8], "fc1.bias": [2]}
    assert positions(WeightEntries.into(cnn, {"conv1": [1]})) == {"conv1.weight": list(range(18, 36))}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (edges(("input", 0, "fc9", 0)), "no layer 'fc9' that edges lead into"),
        (edges(("fc9", 0, "output", 0)), "no layer 'fc9'; its layers are input, fc1, output"),
        (edges(("input", 3, "fc1", 0)), "'input' has neurons 0 to 2, no neuron 3"),
        (edges(("input", 0, "fc1", 4)), "'fc1' has neurons 0 to 3, no neuron 4"),
        (edges(("input", 0, "output", 0)), "no edge from input/0 to output/0"),
        (edges(), "there are no edges"),
        (edges(("input", 0, "fc1", 0)).drop(columns="target_index"), "no column 'target_index'"),
    ],
)
def test_what_is_no_edge_is_refused(mlp, asked, message):
    with pytest.raises(AttrGraphError, match=message):
        WeightEntries.of_edges(mlp, torch.zeros(1, 3), asked)


def test_an_edge_from_a_pixel_into_a_convolution_has_no_weights_of_its_own(cnn):
    with pytest.raises(AttrGraphError, match="reads many neurons at once"):
        WeightEntries.of_edges(cnn, torch.zeros(1, 2, 4, 4), edges(("input", 0, "conv1", 0)))
    with pytest.raises(AttrGraphError, match="reads many neurons at once"):
        WeightEntries.out_of(cnn, torch.zeros(1, 2, 4, 4), [0])
    assert layers_with_edges(cnn, torch.zeros(1, 2, 4, 4)) == ["conv2", "output"]
