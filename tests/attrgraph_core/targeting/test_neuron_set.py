"""The neuron set: its order, its hash, and what it refuses."""

import numpy as np
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.neuron_set import NeuronSet


def test_keeps_layers_and_indices_sorted():
    neuron_set = NeuronSet({"fc2": [5], "fc1": np.array([17, 3])}, "random", 0.5)
    assert list(neuron_set.neurons.items()) == [("fc1", (3, 17)), ("fc2", (5,))]
    assert [type(index) for index in neuron_set.neurons["fc1"]] == [int, int]
    assert neuron_set.size == 3


def test_hash_is_of_the_neurons_alone():
    neuron_set = NeuronSet({"fc1": (3, 17)}, "random", 0.5)
    assert neuron_set.set_hash == NeuronSet({"fc1": (17, 3)}, "top_influence", 0.25).set_hash
    assert neuron_set.set_hash != NeuronSet({"fc1": (3, 16)}, "random", 0.5).set_hash
    assert neuron_set.set_hash != NeuronSet({"fc2": (3, 17)}, "random", 0.5).set_hash
    # The literal: stages are kept fresh by it, so it may not change from one version to the next.
    assert neuron_set.set_hash == "ec8c90bb0202e4fb"


def test_survives_json():
    neuron_set = NeuronSet({"fc2": (0,), "fc1": (3, 17)}, "random", 0.1)
    assert NeuronSet.from_json(neuron_set.to_json()) == neuron_set


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ({}, "the neuron set is empty"),
        ({"fc1": []}, "layer 'fc1' is named without a neuron"),
        ({"fc1": [0, -1]}, "neuron -1 of layer 'fc1' is negative"),
        ({"fc1": [2, 2]}, "neuron 2 of layer 'fc1' is named twice"),
        ({"fc1": [1.5]}, "neuron 1.5 of layer 'fc1' is not a whole number"),
    ],
)
def test_refuses_what_is_no_set(neurons, message):
    with pytest.raises(AttrGraphError, match=message):
        NeuronSet(neurons, "random", 0.5)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"neurons": 3, "policy": "random", "budget": 1}'])
def test_refuses_other_json(text):
    with pytest.raises(AttrGraphError, match="no neuron set in JSON"):
        NeuronSet.from_json(text)
