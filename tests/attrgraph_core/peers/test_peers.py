"""Each peer by the gradients that its paper gives, worked by hand or by a slow twin, and by a stage of training."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.drtp import DirectRandomTargetProjection
from attrgraph_core.peers.meprop import MeProp
from attrgraph_core.peers.random_layers import RandomLayers
from attrgraph_core.peers.recycling import Recycling
from attrgraph_core.peers.thin import dense_step_flops, targeted_step_flops, thin_arguments
from attrgraph_core.training.counted_flops import counted_flops
from attrgraph_core.training.models import mlp, small_cnn
from attrgraph_core.training.stage import TrainingSettings, train_stage


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def batch():
    torch.manual_seed(1)
    return torch.randn(7, 6).double(), torch.arange(7) % 3


def gradients(model, loss):
    return dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True))


def assert_gradients(found, expected):
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12)


def by_layer(inputs, first, second, lower, upper, error):
    """Gradients of `network` where these errors are at the outputs of its layers, whose inputs are the first three."""
    return {
        "0.weight": lower.T @ inputs, "0.bias": lower.sum(0), "2.weight": upper.T @ first, "2.bias": upper.sum(0),
        "4.weight": error.T @ second, "4.bias": error.sum(0),
    }  # fmt: skip


@pytest.mark.parametrize("unified", [True, False])
def test_meprop_keeps_the_largest_of_a_layers_output_gradient(unified):
    model, (inputs, labels) = network(), batch()
    with MeProp(model, 0.25, "4", unified=unified) as peer:
        found = gradients(model, peer.loss(inputs, labels)[1])
    assert "forward" not in model[0].__dict__
    # The twin: the chain rule by hand, with the entries that are not among the k largest set to zero.
    first = model[0](inputs).tanh()
    second = model[2](first).tanh()
    scores = model[4](second)
    error = (scores.softmax(1) - functional.one_hot(labels, 3)) / len(labels)

    def kept(delta, count):
        size = delta.abs().sum(0).expand_as(delta) if unified else delta.abs()
        smallest = size.sort(dim=1, descending=True).values[:, count - 1 : count]
        return delta * (size >= smallest)

    upper = kept(error @ model[4].weight * (1 - second**2), 1)  # a quarter of 5
    lower = kept(upper @ model[2].weight * (1 - first**2), 2)  # a quarter of 8
    assert (upper != 0).any(0).sum() == 1 or not unified
    assert_gradients(found, by_layer(inputs, first, second, lower, upper, error))


def test_meprop_of_all_is_backpropagation_and_unified_it_costs_less():
    model, (inputs, labels) = network(), batch()
    dense = gradients(model, functional.cross_entropy(model(inputs), labels))
    for unified in (True, False):
        with MeProp(model, 1.0, "4", unified=unified) as peer:
            assert_gradients(gradients(model, peer.loss(inputs, labels)[1]), dense)
    with MeProp(model, 0.25, "4") as peer, counted_flops() as counted:
        peer.loss(inputs, labels)[1].backward()
    # Forward; gradients of 2 of 8 and 1 of 5 rows, of the outputs, and back through 1 of 5 and all 3 rows.
    assert counted.flops == 7 * 2 * ((48 + 40 + 15) + (2 * 6 + 1 * 8 + 15) + (1 * 8 + 15))


def test_drtp_projects_the_target():
    model, (inputs, labels) = network(), batch()
    peer = DirectRandomTargetProjection(model, class_count=3, seed=4)
    watched, loss = peer.loss(inputs, labels)
    found = gradients(model, loss)
    first = model[0](inputs).tanh()
    second = model[2](first).tanh()
    torch.testing.assert_close(watched, functional.cross_entropy(model[4](second), labels))
    error = (model[4](second).softmax(1) - functional.one_hot(labels, 3)) / len(labels)
    one_hot = functional.one_hot(labels, 3).double()
    lower = one_hot @ peer.projection(0, 8).double() * (1 - first**2) / len(labels)
    upper = one_hot @ peer.projection(1, 5).double() * (1 - second**2) / len(labels)
    assert_gradients(found, by_layer(inputs, first, second, lower, upper, error))


def test_drtps_projections_are_fixed_by_the_seed_and_its_step_costs_two_thirds():
    model, (inputs, labels) = network(), batch()
    first, again, other = (DirectRandomTargetProjection(model, 3, seed) for seed in (4, 4, 5))
    assert torch.equal(first.projection(1, 5), again.projection(1, 5))
    assert not torch.equal(first.projection(1, 5), other.projection(1, 5))
    with counted_flops() as counted:
        first.loss(inputs, labels)[1].backward()
    assert counted.flops == 7 * 2 * 2 * (48 + 40 + 15)


def test_drtp_refuses_what_it_cannot_run_layer_by_layer():
    class Own(nn.Module):
        pass

    with pytest.raises(AttrGraphError, match=r"an nn\.Sequential, layer by layer, and not a Own"):
        DirectRandomTargetProjection(Own(), 3, 0)
    with pytest.raises(AttrGraphError, match="none inside others"):
        DirectRandomTargetProjection(nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 3)), 3, 0)


def test_random_layers_move_and_no_others(data):
    torch.manual_seed(0)
    model = mlp((6,), 3, (8, 7, 5))
    states, drawn = [], []
    peers = []

    def make(model):
        peers.append(RandomLayers(model, 1, ("output",), seed=3))
        return peers[0]

    def keep(record, state):
        states.append(state)
        drawn.append(peers[0].drawn)

    train_stage(
        model, data, TrainingSettings(6, 0.05, weight_decay=0.1, batch_size=8), seed=0, stage=1, make_peer=make,
        on_epoch=keep,
    )  # fmt: skip
    for before, after, layers in zip(states, states[1:], drawn[1:], strict=False):
        moved = {name.partition(".")[0] for name in after if not torch.equal(after[name], before[name])}
        assert moved == {*layers, "output"}
    assert len(set(drawn[1:])) > 1
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_recycling_an_epoch_of_a_single_step(data):
    """The first step is not seen, so that there is nothing to renew by after it; no error."""
    model, peers = mlp((6,), 3, (8, 7)), []
    train_stage(
        model, data, TrainingSettings(5, 0.01, batch_size=len(data.train_labels)), seed=0, stage=1,
        make_peer=lambda network: peers.append(Recycling(network, 0.2, 0)) or peers[0],
    )  # fmt: skip
    assert peers[0].recycler.table()["renewed"].sum() > 0


def test_random_layers_refuse_more_than_there_are():
    with pytest.raises(AttrGraphError, match="layers is 3; the network has 2 hidden layers"):
        RandomLayers(mlp((6,), 3, (8, 7)), 3, ("output",), 0)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize(
    ("build", "arguments", "sample"),
    [
        (lambda arguments: mlp((64,), 10, **arguments), {"hidden": [128, 64]}, torch.zeros(2, 64)),
        (
            lambda arguments: small_cnn((1, 8, 8), 10, **arguments),
            {"channels": [16, 32], "hidden": 64},
            torch.zeros(2, 1, 8, 8),
        ),
    ],
)
def test_a_thin_network_takes_the_flops_of_a_targeted_step(build, arguments, sample, share):
    thin = thin_arguments(build, arguments, share, sample)
    assert thin != arguments
    assert thin.keys() == arguments.keys()
    wanted = targeted_step_flops(build(arguments), share, sample)
    assert abs(dense_step_flops(build(thin), sample) / wanted - 1) <= 0.01


def test_a_thin_network_needs_widths():
    with pytest.raises(AttrGraphError, match="name 'hidden' \\(or 'channels'\\)"):
        thin_arguments(lambda arguments: mlp((6,), 3), {}, 0.5, torch.zeros(2, 6))


@pytest.mark.parametrize(
    "make",
    [
        lambda model: MeProp(model, 0.5, "output"),
        lambda model: MeProp(model, 0.5, "output", unified=False),
        lambda model: DirectRandomTargetProjection(model, 3, 0),
        lambda model: RandomLayers(model, 1, ("output",), 0),
    ],
)
def test_contract(data, make):
    """Every peer learns the small data, repeats bit for bit, says its FLOPs, and leaves an ordinary model."""
    finals = []
    for _ in range(2):
        torch.manual_seed(0)
        model = mlp((6,), 3, (16, 8))
        result = train_stage(model, data, TrainingSettings(15, 0.02, batch_size=8), seed=0, stage=1, make_peer=make)
        assert result.epochs[-1].accuracy >= 11 / 12
        assert result.epochs[0].flops == 0 < result.epochs[1].flops
        assert all("forward" not in module.__dict__ for module in model.modules())
        finals.append(model.state_dict())
    assert all(torch.equal(finals[0][name], finals[1][name]) for name in finals[0])
