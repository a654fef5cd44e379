"""Figures of plasticity by hand."""

import math
from collections import OrderedDict

import pytest
import torch
from torch import nn

from attrgraph_core.recycling.plasticity import effective_rank, plasticity


@pytest.mark.parametrize(
    ("activations", "expected"),
    [
        (torch.eye(4), 4.0), (torch.ones(5, 3), 1.0), (torch.zeros(2, 2), 0.0),
        (torch.diag(torch.tensor([3.0, 1.0])), math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))),
    ],
)  # fmt: skip
def test_effective_rank(activations, expected):
    assert effective_rank(activations) == pytest.approx(expected)


def test_a_row_a_hidden_layer():
    """fc1 = relu(x, -x0 - 1): of positive inputs the third neuron is dead and the others span two directions."""
    model = nn.Sequential(OrderedDict(fc1=nn.Linear(2, 3), relu=nn.ReLU(), output=nn.Linear(3, 2)))
    model.fc1.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    model.fc1.bias.data = torch.tensor([0.0, 0.0, -1.0])
    found = plasticity(model, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    row = found.iloc[0].to_dict()
    assert row == pytest.approx(
        {"layer": "fc1", "dead_share": 1 / 3, "effective_rank": 2.0, "rank_share": 2 / 3, "weight_size": 0.5}
    )
