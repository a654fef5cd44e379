"""A stage: its steps by a twin, repeatable, saying what it measured, and stopping when it diverges."""

import math
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.neuron_set import NeuronSet
from attrgraph_core.targeting.optimizer_archive import OptimizerArchive
from attrgraph_core.training.reproducibility import derive_seed
from attrgraph_core.training.stage import TrainingSettings, train_stage

SETTINGS = TrainingSettings(epochs=2, learning_rate=0.05, batch_size=8, weight_decay=0.1)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(6, 8), norm=nn.BatchNorm1d(8), relu=nn.ReLU(), drop=nn.Dropout(0.25), output=nn.Linear(8, 3)
        )
    )


def train(model, data, settings=SETTINGS, **given):
    return train_stage(model, data, settings, **{"seed": 0, "stage": 1} | given)


def test_full_stage_takes_the_steps_of_a_plain_loop(data):
    model, twin = nn.Linear(6, 3), nn.Linear(6, 3)
    twin.load_state_dict(model.state_dict())
    settings = TrainingSettings(2, 0.1, "sgd", weight_decay=0.01, momentum=0.9, batch_size=16)
    train(model, data, settings)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    order = torch.Generator().manual_seed(derive_seed(0, 1))
    step = 0
    for _ in range(2):
        for batch in torch.randperm(41, generator=order).split(16):  # batches of 16, 16 and 9
            optimizer.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / 6))
            optimizer.zero_grad()
            functional.cross_entropy(twin(data.train_inputs[batch]), data.train_labels[batch]).backward()
            optimizer.step()
            step += 1
    torch.testing.assert_close(model.state_dict(), twin.state_dict())


@pytest.mark.parametrize("neuron_set", [None, NeuronSet({"fc1": (1, 5), "output": (0, 1, 2)}, "random", 0.25)])
def test_repeats_bit_for_bit_and_leaves_the_random_state(data, neuron_set):
    results = []
    for noise in (1, 2):
        model = network()
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        result = train(model, data, neuron_set=neuron_set)
        assert torch.equal(torch.get_rng_state(), before)
        results.append((model.state_dict(), [(r.loss, r.accuracy, r.train_accuracy) for r in result.epochs]))
    assert results[0][1] == results[1][1]
    assert all(torch.equal(value, results[1][0][name]) for name, value in results[0][0].items())


def test_seed_and_stage_change_the_order(data):
    losses = {
        train(network(), data, seed=seed, stage=stage).epochs[-1].loss for seed, stage in [(0, 1), (0, 2), (1, 1)]
    }
    assert len(losses) == 3


def test_records_measure_the_states_that_are_given_out(data):
    kept = []
    model = network()
    result = train(model, data, on_epoch=lambda record, state: kept.append((record, state)))
    assert tuple(record for record, _ in kept) == result.epochs
    assert [record.epoch for record in result.epochs] == [0, 1, 2]
    assert result.epochs[0].learning_rate == result.epochs[0].seconds == 0.0
    assert [record.learning_rate for record in result.epochs[1:]] == [0.05, 0.025]
    first = network()
    assert all(torch.equal(value, kept[0][1][name]) for name, value in first.state_dict().items())
    for record, state in kept:
        copy = network().eval()
        copy.load_state_dict(state)
        with torch.no_grad():
            scores, test_scores = copy(data.train_inputs), copy(data.test_inputs)
        assert record.loss == pytest.approx(functional.cross_entropy(scores, data.train_labels).item(), rel=1e-6)
        assert record.train_accuracy == (scores.argmax(dim=1) == data.train_labels).double().mean().item()
        assert record.accuracy == (test_scores.argmax(dim=1) == data.test_labels).double().mean().item()
    assert result.epochs[-1].accuracy > result.epochs[0].accuracy
    assert all(torch.equal(value, kept[-1][1][name]) for name, value in model.state_dict().items())


def test_targeted_stage_moves_its_neurons_only(data):
    model = network()
    train(model, data)
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = []
    result = train(
        model,
        data,
        neuron_set=NeuronSet({"fc1": (1, 5)}, "random", 0.25),
        on_epoch=lambda _, state: states.append(state),
    )
    assert (result.trained_neurons, result.neuron_count) == (2, 11)
    assert (result.trained_weights, result.weight_count) == (2 * 7, 8 * 7 + 2 * 8 + 3 * 9)
    assert not any(module.training for module in model.modules())
    for state in (states[-1], model.state_dict()):
        assert list(state) == list(before)
        for name, value in state.items():
            moved = (value != before[name]).reshape(len(value) if value.dim() else 1, -1).any(dim=1).nonzero().flatten()
            assert moved.tolist() == ([1, 5] if name.startswith("fc1") else []), name


def test_full_stage_counts_everything(data):
    result = train(network(), data)
    assert (result.trained_neurons, result.neuron_count) == (11, 11)
    assert result.trained_weights == result.weight_count == 99


def test_a_single_last_sample_joins_the_batch_before(data):
    train(network(), data, TrainingSettings(1, 0.01, batch_size=20))  # 41 samples: 20 and 21, not 20, 20 and 1


def test_stops_when_training_diverges(data):
    data.train_inputs[7] = 1e38
    kept = []
    with pytest.raises(AttrGraphError) as caught:
        train(
            nn.Linear(6, 3),
            data,
            TrainingSettings(1, 1e38, "sgd", schedule="constant"),
            on_epoch=lambda *_: kept.append(1),
        )
    assert "in stage 1, epoch 1, after 1 of 1 steps, at learning rate 1e+38: training diverged" in str(caught.value)
    assert len(kept) == 1


@pytest.mark.parametrize("neuron_set", [None, NeuronSet({"fc1": (1, 5)}, "random", 0.25)])
def test_an_exploding_loss_stops_at_the_last_good_epoch(data, neuron_set):
    model, states, archive = network(), [], OptimizerArchive()
    settings = TrainingSettings(3, 1.0, "sgd", schedule="constant")
    model.output.register_forward_hook(lambda *_: _[2] * 1e6 if len(states) == 2 and model.training else None)
    with pytest.raises(AttrGraphError) as caught:
        train(
            model, data, settings, neuron_set=neuron_set, archive=archive,
            on_epoch=lambda _, state: states.append(state),
        )  # fmt: skip
    assert "training diverged" in str(caught.value)
    assert str(caught.value).endswith("; the network is back at the end of epoch 1, the last good one")
    assert len(states) == 2
    assert all(torch.equal(value, states[-1][name]) for name, value in model.state_dict().items())
    assert archive.groups("fc1", [0, 1]) == [[0, 1]]


def test_optimizer_state_outlives_the_stage(data):
    """A full stage, then some neurons: their Adam goes on from the moments and steps of the first."""
    first, archive = network(), OptimizerArchive()
    settings = TrainingSettings(1, 0.05, batch_size=64, schedule="constant")
    train(first, data, settings, archive=archive)
    start = {name: value.clone() for name, value in first.state_dict().items()}
    train(first, data, settings, archive=archive, neuron_set=NeuronSet({"fc1": (1, 5)}, "random", 0.25), stage=2)
    anew = network()
    anew.load_state_dict(start)
    train(anew, data, settings, neuron_set=NeuronSet({"fc1": (1, 5)}, "random", 0.25), stage=2)
    # Adam's first step is the learning rate in every weight; a later one is not.
    fresh = (anew.fc1.weight - start["fc1.weight"])[[1, 5]].abs()
    assert ((fresh - 0.05).abs() < 1e-3).all()
    assert ((first.fc1.weight - start["fc1.weight"])[[1, 5]].abs() - 0.05).abs().max() > 1e-3
    assert archive.groups("fc1", [0, 1, 5]) == [[0], [1, 5]]


def test_names_the_step_that_diverged(data):
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3))
    with pytest.raises(AttrGraphError, match=r"the loss is (nan|inf) in stage 3, epoch 1, after 1 of 10 steps"):
        train(model, data, TrainingSettings(2, 1e30, "sgd", batch_size=8, schedule="constant"), stage=3)


def test_refuses_a_layer_that_the_forward_does_not_call(data):
    model = nn.Linear(6, 3)
    model.add_module("unused", nn.Linear(2, 2))
    with pytest.raises(AttrGraphError, match=r"no gradient reaches 'unused\.weight'"):
        train(model, data, neuron_set=NeuronSet({"unused": (0,)}, "random", 0.5))


def test_refuses_neurons_that_are_not_there(data):
    with pytest.raises(AttrGraphError, match="has neurons 0 to 7, no neuron 8"):
        train(network(), data, neuron_set=NeuronSet({"fc1": (8,)}, "random", 0.5))


def test_refuses_full_training_of_a_frozen_network(data):
    with pytest.raises(AttrGraphError, match="no parameter that trains"):
        train(network().requires_grad_(False), data)


def test_refuses_batch_normalisation_over_one_sample(data):
    with pytest.raises(AttrGraphError, match="batch_size is 1"):
        train(network(), data, TrainingSettings(1, 0.01, batch_size=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("epochs", 1.5), ("epochs", True), ("batch_size", 0), ("learning_rate", 0.0),
        ("learning_rate", math.inf), ("learning_rate", math.nan), ("learning_rate", "fast"), ("weight_decay", -0.1),
        ("momentum", 1.0), ("optimizer", "lion"), ("schedule", "step"),
    ],
)  # fmt: skip
def test_refuses_settings_outside_their_range(name, value):
    with pytest.raises(AttrGraphError, match=name):
        TrainingSettings(**{"epochs": 1, "learning_rate": 0.1} | {name: value})
