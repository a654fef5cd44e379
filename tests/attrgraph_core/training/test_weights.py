"""Weights on disk: they come back as they were, or not at all."""

import os

import pytest
import torch
from safetensors import safe_open

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.weights import load_weights, save_weights, weights_hash


@pytest.fixture
def state():
    """Every type that a state dict has, with two names of one memory and a transposed tensor."""
    matrix = torch.arange(6.0).reshape(2, 3)
    return {
        "matrix": matrix,
        "alias": matrix,
        "row": matrix[0],
        "transposed": matrix.T,
        "half": torch.tensor([1.5, 2.5], dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 4),
        "flags": torch.tensor([True, False]),
    }


def test_round_trip(tmp_path, state):
    path = tmp_path / "run" / "stage_1" / "epoch_000.safetensors"
    save_weights(path, state, {"epoch": "0"})
    loaded = load_weights(path)
    assert loaded.keys() == state.keys()
    for name, value in state.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value)
    with safe_open(path, "pt") as file:
        assert file.metadata()["epoch"] == "0"
    assert os.listdir(path.parent) == ["epoch_000.safetensors"]


def test_hash_is_of_names_types_shapes_and_values(state):
    reference = weights_hash(state)
    assert reference == weights_hash(dict(reversed(state.items())))
    changes = [
        {"count": torch.tensor(8)},
        {"count": torch.tensor(7, dtype=torch.int32)},
        {"empty": torch.zeros(4, 0)},
        {"other": torch.tensor(1)},
    ]
    assert reference not in {weights_hash(state | change) for change in changes}


@pytest.mark.parametrize("damage", [lambda content: content[:-8], lambda content: b"not weights", lambda content: b""])
def test_a_damaged_file_is_named(tmp_path, state, damage):
    path = tmp_path / "weights.safetensors"
    save_weights(path, state)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(AttrGraphError, match=r"weights\.safetensors is damaged or not a safetensors file"):
        load_weights(path)


def test_a_flipped_bit_is_noticed(tmp_path, state):
    path = tmp_path / "weights.safetensors"
    save_weights(path, state)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(AttrGraphError, match="its weights are not those written"):
        load_weights(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AttrGraphError, match=r"cannot read the weights .*absent"):
        load_weights(tmp_path / "absent.safetensors")


def test_an_interrupted_write_leaves_the_old_file(tmp_path, state, monkeypatch):
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"old": torch.tensor(1)})

    def refuse(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(AttrGraphError, match=r"cannot write the weights .*No space left on device"):
        save_weights(path, state)
    assert load_weights(path) == {"old": torch.tensor(1)}
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_refuses_what_is_not_a_tensor_or_text(tmp_path):
    with pytest.raises(AttrGraphError, match="'extra' of the weights is a dict"):
        save_weights(tmp_path / "weights", {"extra": {}})
    with pytest.raises(AttrGraphError, match="metadata 'epoch' is 3, not text"):
        save_weights(tmp_path / "weights", {}, {"epoch": 3})
    assert os.listdir(tmp_path) == []
