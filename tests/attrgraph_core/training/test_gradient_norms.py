"""Gradient norms: by hand, against ordinary gradients, and without a trace."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.gradient_norms import gradient_norms


def test_matches_hand_worked_values():
    """Scores (0, 0), so the loss gradient is (-1/2, 1/2) for class 0; times the inputs (2, 2) and 1 for the bias."""
    layer = nn.Linear(2, 2).double()
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    norms = gradient_norms(nn.Sequential(layer), torch.tensor([[2.0, 2.0]]).double(), torch.tensor([0]))
    assert norms.values.tolist() == [["0", 0, 1.5], ["0", 1, 1.5]]


def test_equals_ordinary_gradients_in_batches_and_leaves_no_trace(image_data):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3, bias=False)
    ).double()
    inputs, labels = image_data.train_inputs.double(), image_data.train_labels
    model[0].weight.requires_grad_(False)
    model[5].weight.grad = torch.ones_like(model[5].weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    norms = gradient_norms(model, inputs, labels, batch_size=16)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[0].weight.grad is None
    assert not model[0].weight.requires_grad
    assert bool((model[5].weight.grad == 1).all())
    assert all(module.training for module in model.modules())

    model.eval().requires_grad_(True).zero_grad()
    functional.cross_entropy(model(inputs), labels).backward()
    convolution = torch.cat([model[0].weight.grad.flatten(1), model[0].bias.grad[:, None]], dim=1).norm(dim=1)
    expected = torch.cat([convolution, model[5].weight.grad.norm(dim=1)])
    assert norms["layer"].tolist() == ["0"] * 4 + ["5"] * 3
    assert norms["index"].tolist() == [0, 1, 2, 3, 0, 1, 2]
    torch.testing.assert_close(torch.tensor(norms["gradient_norm"].to_numpy()), expected)


def test_refuses_a_network_without_neurons():
    with pytest.raises(AttrGraphError, match="need layers with neurons and samples, not 0 and 2"):
        gradient_norms(nn.ReLU(), torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64))
