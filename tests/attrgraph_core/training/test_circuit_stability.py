"""When a circuit counts as stable: sets worked by hand, and a stage that ends by it."""

import pandas as pd
import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.circuit_stability import (
    NEURON,
    CircuitStability,
    StableWhen,
    jaccard,
    strongest_in_layers,
)
from attrgraph_core.training.models import mlp
from attrgraph_core.training.stage import TrainingSettings, train_stage


def test_jaccard():
    assert jaccard({(1,), (2,), (3,)}, {(2,), (3,), (4,)}) == 0.5
    assert jaccard(set(), set()) == 1.0


def test_the_strongest_of_each_layer():
    table = pd.DataFrame(
        {"layer": ["a", "a", "a", "b"], "index": [0, 1, 2, 0], "abs_attribution": [1.0, 3.0, 1.0, 0.1]}
    )
    assert strongest_in_layers(table, NEURON, "abs_attribution", 2) == {("a", 1), ("a", 0), ("b", 0)}


@pytest.mark.parametrize("of", ["edges", "neurons", "probes"])
def test_a_network_that_stands_still_is_stable_and_one_drawn_anew_is_not(data, of):
    torch.manual_seed(0)
    model = mlp((6,), 3, (16, 8))
    when = StableWhen(0.99, epochs=2, of=of, top_k=3)
    stability = CircuitStability(when, data.train_inputs, data.train_labels, baseline=data.train_inputs.mean(0))
    assert [stability(model) for _ in range(3)] == [False, False, True]
    assert stability.similarities == pytest.approx([1.0, 1.0])
    assert not stability(mlp((6,), 3, (16, 8)))
    assert stability.similarities[-1] < 0.9
    # One change sets the count back.
    assert not stability(mlp((6,), 3, (16, 8)))


def test_a_stage_ends_when_its_circuit_is_stable(data):
    torch.manual_seed(0)
    model = mlp((6,), 3, (16, 8))
    stability = CircuitStability(StableWhen(0.9, 2, "neurons", 4), data.train_inputs, data.train_labels)
    result = train_stage(
        model, data, TrainingSettings(40, 0.01, batch_size=8), seed=0, stage=1, is_done=stability
    )  # fmt: skip
    assert result.stopped_early
    assert 3 <= result.epochs[-1].epoch < 40
    assert min(stability.similarities[-2:]) >= 0.9
    assert len(stability.similarities) == result.epochs[-1].epoch - 1
    # The same stage without it has the same epochs, and more.
    torch.manual_seed(0)
    whole = train_stage(mlp((6,), 3, (16, 8)), data, TrainingSettings(40, 0.01, batch_size=8), seed=0, stage=1)
    assert not whole.stopped_early
    assert [e.loss for e in whole.epochs[: len(result.epochs)]] == [e.loss for e in result.epochs]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"of": "colours"}, "'of' is 'colours'; a circuit is compared by its edges, neurons, probes"),
        ({"similarity": 1.5}, "similarity is 1.5"),
        ({"epochs": 0}, "epochs and top_k are 0 and 32"),
    ],
)
def test_refuses_what_is_no_condition(arguments, message):
    with pytest.raises(AttrGraphError, match=message):
        StableWhen(**arguments)
