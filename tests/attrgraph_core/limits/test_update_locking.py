"""What an update waits for: all layers above under back-propagation, none under DRTP, nothing where nothing trains."""

import pytest
import torch
from torch import nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.limits.update_locking import update_locking
from attrgraph_core.peers.drtp import DirectRandomTargetProjection
from attrgraph_core.peers.meprop import MeProp
from attrgraph_core.targeting.target_neurons import target_neurons
from attrgraph_core.training.models import mlp, small_cnn

INPUTS, LABELS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3


@pytest.fixture
def network():
    return mlp((5,), 3, (8, 7, 6))


def rows(table):
    return {row.layer: (row.trains, row.waits_for) for row in table.itertuples()}


def test_back_propagation_waits_for_all_layers_above(network):
    assert rows(update_locking(network, INPUTS, LABELS)) == {
        "fc1": (True, 3), "fc2": (True, 2), "fc3": (True, 1), "output": (True, 0),
    }  # fmt: skip
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(layer._forward_hooks for layer in network)


def test_meprop_waits_as_long_and_drtp_for_nothing(network):
    with MeProp(network, 0.25, "output") as peer:
        assert update_locking(network, INPUTS, LABELS, peer)["waits_for"].tolist() == [3, 2, 1, 0]
    peer = DirectRandomTargetProjection(network, 3, 0)
    assert rows(update_locking(network, INPUTS, LABELS, peer)) == {
        "fc1": (True, 0), "fc2": (True, 0), "fc3": (True, 0), "output": (True, 0),
    }  # fmt: skip


def test_a_targeted_stage_waits_down_to_its_lowest_layer(network):
    with target_neurons(network, {"fc3": [0, 2], "output": [0, 1, 2]}):
        assert rows(update_locking(network, INPUTS, LABELS)) == {
            "fc1": (False, 0), "fc2": (False, 0), "fc3": (True, 1), "output": (True, 0),
        }  # fmt: skip
    with target_neurons(network, {"fc1": [1], "output": [0, 1, 2]}):  # through layers that are frozen
        assert rows(update_locking(network, INPUTS, LABELS)) == {
            "fc1": (True, 3), "fc2": (False, 0), "fc3": (False, 0), "output": (True, 0),
        }  # fmt: skip


def test_convolutions_and_the_longest_way_around_a_shortcut():
    cnn = small_cnn((1, 8, 8), 3, (4, 4), 8)
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert update_locking(cnn, images, LABELS)["waits_for"].tolist() == [3, 2, 1, 0]

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.inner, self.output = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)

        def forward(self, x):
            x = self.first(x)
            return self.output(x + self.inner(x).relu())

    assert rows(update_locking(Residual(), INPUTS, LABELS)) == {
        "first": (True, 2), "inner": (True, 1), "output": (True, 0),
    }  # fmt: skip


def test_a_network_that_is_frozen_has_no_update(network):
    with pytest.raises(AttrGraphError, match="no layer trains"):
        update_locking(network.requires_grad_(False), INPUTS, LABELS)
