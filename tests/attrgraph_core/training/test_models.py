"""Networks: their layers, weights by the seed alone, and what a user's factory may not return."""

import sys
import types

import pytest
import torch
from torch import nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.models import build_model, mlp, small_cnn


@pytest.fixture
def user_module(monkeypatch):
    """An importable module `their_models`; tests put functions into it."""
    module = types.ModuleType("their_models")
    monkeypatch.setitem(sys.modules, "their_models", module)
    return module


def shapes(network):
    return {name: tuple(parameter.shape) for name, parameter in network.named_parameters() if parameter.dim() > 1}


def test_mlp():
    assert [name for name, _ in mlp((64,), 10).named_children()] == ["fc1", "relu1", "fc2", "relu2", "output"]
    assert shapes(mlp((64,), 10)) == {"fc1.weight": (128, 64), "fc2.weight": (64, 128), "output.weight": (10, 64)}
    assert [name for name, _ in mlp((1, 2, 2), 3, [5]).named_children()] == ["flatten", "fc1", "relu1", "output"]


def test_small_cnn():
    network = small_cnn((1, 8, 8), 10)
    assert [name for name, _ in network.named_children()] == [
        "conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "flatten", "fc1", "relu3", "output",
    ]  # fmt: skip
    assert shapes(network) == {
        "conv1.weight": (16, 1, 3, 3),
        "conv2.weight": (32, 16, 3, 3),
        "fc1.weight": (64, 32 * 2 * 2),
        "output.weight": (10, 64),
    }


def test_weights_depend_on_the_seed_alone(data):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_model("mlp", {}, data, seed=0)
    assert torch.equal(torch.rand(3), expected)
    second = build_model("mlp", {"hidden": [128, 64]}, data, seed=0)
    assert torch.equal(first.fc1.weight, second.fc1.weight)
    assert not torch.equal(first.fc1.weight, build_model("mlp", {}, data, seed=1).fc1.weight)
    assert first.training


def test_a_users_factory_gets_its_arguments_only(data, user_module):
    user_module.make = lambda width: nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.LazyLinear(3))
    model = build_model("their_models:make", {"width": 4}, data, seed=0)
    assert model[2].in_features == 4
    assert model[1].num_batches_tracked == 0
    assert model[1].training


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "is a NoneType, not a torch.nn.Module"),
        (nn.Linear(6, 4), "turns 2 inputs into shape (2, 4); with 3 classes it must be (2, 3)"),
        (nn.Linear(5, 3), "cannot take inputs of shape (6,): RuntimeError"),
        (nn.LSTM(6, 3), "returns a tuple, not one tensor of class scores"),
    ],
)
def test_names_what_a_factory_made_wrong(data, user_module, made, message):
    user_module.make = lambda: made
    with pytest.raises(AttrGraphError) as caught:
        build_model("their_models:make", None, data, seed=0)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("factory", "arguments", "message"),
    [
        (
            "resnet",
            {},
            "unknown model 'resnet'; known are mlp, small_cnn, embedding_classifier and package.module:function",
        ),
        ("mlp", {"hiden": [3]}, "do not fit mlp"),
        ("mlp", {"hidden": [3, 0]}, "hidden has 0, not a whole number from 1 on"),
        ("mlp", {"hidden": 3}, "hidden is 3, not a list of whole numbers"),
        ("mlp", {"class_count": 3}, "takes class_count from the data"),
        ("small_cnn", {}, "takes images (channels, rows, columns), not shape (6,)"),
    ],
)
def test_names_what_is_wrong(data, factory, arguments, message):
    with pytest.raises(AttrGraphError) as caught:
        build_model(factory, arguments, data, seed=0)
    assert message in str(caught.value)


def test_images_too_small_for_the_poolings():
    with pytest.raises(AttrGraphError, match="images of 3 x 8 cannot be halved 2 times"):
        small_cnn((1, 3, 8), 10)
