"""A linear network, whose robustness is known, and a trained one."""

import pytest
import torch
from torch import nn

from attrgraph_core.training.data import load_data, with_validation
from attrgraph_core.training.models import build_model
from attrgraph_core.training.stage import TrainingSettings, train_stage


@pytest.fixture
def linear_network():
    """Scores (x1 + 2 x2 - 2 x3, 0)."""
    network = nn.Linear(3, 2, bias=False)
    network.weight.data = torch.tensor([[1.0, 2.0, -2.0], [0.0, 0.0, 0.0]])
    return network


@pytest.fixture(scope="session")
def digits_network():
    """An MLP on digits, and 287 samples that it has not seen."""
    data = with_validation(load_data("digits"))
    model = build_model("mlp", {"hidden": [64, 32]}, data, 0)
    train_stage(model, data, TrainingSettings(8, 3e-3), seed=0, stage=1)
    model.zero_grad()
    return model, data.test_inputs, data.test_labels


@pytest.fixture(scope="session")
def digits_cnn():
    data = with_validation(load_data("digits_images"))
    model = build_model("small_cnn", {"channels": [8, 16], "hidden": 32}, data, 0)
    train_stage(model, data, TrainingSettings(3, 5e-3), seed=0, stage=1)
    model.zero_grad()
    return model, data.test_inputs, data.test_labels
