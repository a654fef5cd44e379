"""Targeted training: equal to its slow twin where it trains, the same bits where it does not, and without a trace."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.target_neurons import target_neurons

STEPS = 4
OPTIMIZERS = {
    "sgd": lambda parameters, fused: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1, fused=fused),
    "adamw": lambda parameters, fused: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1, fused=fused),
}


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(6, 8), norm=nn.BatchNorm1d(8), relu=nn.ReLU(), drop=nn.Dropout(0.5),
            fc2=nn.Linear(8, 7, bias=False), tanh=nn.Tanh(), output=nn.Linear(7, 3),
        )
    ).double()  # fmt: skip


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), norm=nn.BatchNorm2d(4), relu1=nn.ReLU(),
            conv2=nn.Conv2d(4, 6, 3, stride=2, groups=2), relu2=nn.ReLU(), flatten=nn.Flatten(),
            output=nn.Linear(6 * 2 * 2, 3),
        )
    ).double()  # fmt: skip


NETWORKS = {
    "mlp": (mlp, (6,), {"fc1": (7, 2), "fc2": (0, 3, 4)}),
    "cnn": (cnn, (1, 6, 6), {"conv1": (1,), "conv2": (0, 5), "output": (2,)}),
}


def samples(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(12, *shape, generator=generator, dtype=torch.float64), torch.arange(12) % 3


def bits(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture
def two_neuron_network():
    """(x1, x2) -> h = (x1, x1 - x2) -> score 2*h1 + 3*h2."""
    network = nn.Sequential(OrderedDict(hidden=nn.Linear(2, 2), output=nn.Linear(2, 1, bias=False))).double()
    network.hidden.weight.data = torch.tensor([[1.0, 0.0], [1.0, -1.0]]).double()
    network.hidden.bias.data = torch.tensor([0.0, 0.0]).double()
    network.output.weight.data = torch.tensor([[2.0, 3.0]]).double()
    return network


def test_a_step_matches_hand_worked_values(two_neuron_network):
    with target_neurons(two_neuron_network, {"hidden": [1]}) as targeted:
        optimizer = torch.optim.SGD(targeted.parameters(), lr=0.5)
        two_neuron_network(torch.tensor([[4.0, 2.0]]).double()).sum().backward()  # d score / d W[1] = 3 * (4, 2)
        optimizer.step()
        assert two_neuron_network(torch.tensor([[1.0, 0.0]]).double()).item() == 2 * 1 + 3 * (-5 - 1.5)
        assert targeted.trained_neuron_count == 1
        assert targeted.trained_weight_count == 3
        assert targeted.trained_share == 3 / 8
    assert two_neuron_network.hidden.weight.tolist() == [[1.0, 0.0], [-5.0, -4.0]]
    assert two_neuron_network.hidden.bias.tolist() == [0.0, -1.5]
    assert two_neuron_network.output.weight.tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_dense_training_with_everything_else_restored(name):
    make, shape, neurons = NETWORKS[name]
    inputs, labels = samples(shape)
    twin = make().eval()
    frozen = bits(twin)
    for _ in range(STEPS):
        twin.zero_grad()
        functional.cross_entropy(twin(inputs), labels).backward()
        with torch.no_grad():
            for parameter_name, parameter in twin.named_parameters():
                layer = parameter_name.rpartition(".")[0]
                kept = [row for row in range(len(parameter)) if row not in neurons.get(layer, ())]
                parameter -= 0.3 * parameter.grad
                parameter[kept] = frozen[parameter_name][kept]
    network = make().eval()
    with target_neurons(network, neurons) as targeted:
        optimizer = torch.optim.SGD(targeted.parameters(), lr=0.3)
        for _ in range(STEPS):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
    for parameter_name, value in twin.state_dict().items():
        torch.testing.assert_close(network.state_dict()[parameter_name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_frozen_weights_and_statistics_keep_their_bits(name, optimizer_name, fused):
    make, shape, neurons = NETWORKS[name]
    inputs, labels = samples(shape)
    network = make()
    before = bits(network)
    with target_neurons(network, neurons) as targeted:
        optimizer = OPTIMIZERS[optimizer_name](targeted.parameters(), fused)
        for _ in range(STEPS):
            network.train()
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
    for entry, value in network.state_dict().items():
        changed = (value != before[entry]).reshape(len(value) if value.dim() else 1, -1).any(dim=1).nonzero().flatten()
        assert tuple(changed.tolist()) == tuple(sorted(neurons.get(entry.rpartition(".")[0], ()))), entry


@pytest.mark.parametrize(("layer", "shape"), [(nn.Conv1d(2, 3, 2), (2, 5)), (nn.Conv3d(1, 3, 2), (1, 3, 3, 3))])
def test_other_convolutions_compute_and_train_the_same(layer, shape):
    inputs = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    expected = layer(inputs)
    expected.square().sum().backward()
    with target_neurons(layer, {"": [2]}) as targeted:
        computed = layer(inputs)
        computed.square().sum().backward()
        gradients = [parameter.grad for parameter in targeted.parameters()]
    assert torch.equal(computed, expected)
    torch.testing.assert_close(gradients[0], layer.weight.grad[[2]])
    torch.testing.assert_close(gradients[1], layer.bias.grad[[2]])


def test_leaves_no_trace_but_the_weights():
    network = mlp()
    network.fc1.bias.requires_grad_(False)
    network.drop.eval()
    parameters = dict(network.named_parameters())
    flags = {name: parameter.requires_grad for name, parameter in parameters.items()}
    modes = {name: module.training for name, module in network.named_modules()}
    attributes = {name: set(module.__dict__) for name, module in network.named_modules()}
    with target_neurons(network, {"fc1": [1]}):
        assert not any(parameter.requires_grad for parameter in network.parameters())
        network.train()
        assert not network.norm.training
        assert network.drop.training
    assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == flags
    assert {name: module.training for name, module in network.named_modules()} == modes
    assert {name: set(module.__dict__) for name, module in network.named_modules()} == attributes
    assert all(parameters[name] is parameter for name, parameter in network.named_parameters())
    network.train()
    assert network.norm.training


def test_state_has_ordinary_names_and_what_was_trained():
    network = mlp()
    names = list(network.state_dict())
    with target_neurons(network, {"fc1": [1]}) as targeted:
        assert [name for name, _ in targeted.named_parameters()] == ["fc1.weight", "fc1.bias"]
        with torch.no_grad():
            next(targeted.parameters()).fill_(9.0)
        state = targeted.state_dict()
        assert list(state) == names
        assert state["fc1.weight"][1].tolist() == [9.0] * 6


def test_an_exception_leaves_the_model_whole_and_trained():
    network = mlp()
    weight = network.fc1.weight

    def fail():
        with target_neurons(network, {"fc1": [1]}) as targeted:
            next(targeted.parameters()).data.fill_(9.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert network.fc1.weight is weight
    assert weight[1].tolist() == [9.0] * 6
    assert weight.requires_grad
    assert "forward" not in network.fc1.__dict__


def test_gradients_stop_below_the_lowest_trained_layer():
    network = mlp()
    with target_neurons(network, {"output": [0]}):
        network.eval()
        assert not network.fc2(network.drop(network.relu(network.norm(network.fc1(samples((6,))[0]))))).requires_grad


class TiedNetwork(nn.Module):
    """Layer `second` has the weight of `first`; `same` is `alias`; `part` is a view of `whole`'s memory."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.same = self.alias = nn.Linear(3, 3)
        self.whole, self.part = nn.Linear(3, 3), nn.Linear(3, 2)
        self.part.weight = nn.Parameter(self.whole.weight.detach()[:2])
        self.normed = parametrizations.weight_norm(nn.Linear(3, 3))
        self.bag = nn.EmbeddingBag(3, 3)
        self.free = nn.Linear(3, 4)


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ({}, "the neuron set is empty"),
        ({"free": []}, "layer 'free' is named without a neuron"),
        ({"absent": [0]}, "no layer 'absent'; layers with neurons are first, second"),
        ({"free": [4]}, "layer 'free' has neurons 0 to 3, no neuron 4"),
        ({"free": [-1]}, "neuron -1 of layer 'free' is negative"),
        ({"free": [1, 1]}, "neuron 1 of layer 'free' is named twice"),
        ({"bag": [0]}, "layer 'bag' is a EmbeddingBag; neurons can be trained of Linear, Conv1d"),
        ({"normed": [0]}, "layer 'normed' is a ParametrizedLinear"),
        ({"free": [0], "second": [0]}, "'second.weight' shares its memory with 'first.weight'"),
        ({"same": [0]}, "'same.weight' shares its memory with 'alias.weight'"),
        ({"part": [0]}, "'part.weight' shares its memory with 'whole.weight'"),
    ],
)
def test_refuses_before_anything_changes(neurons, message):
    network = TiedNetwork()
    before = bits(network)
    with pytest.raises(AttrGraphError) as caught, target_neurons(network, neurons):
        pass
    assert message in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any("forward" in module.__dict__ for module in network.modules())


def test_a_layer_is_targeted_once_at_a_time():
    network = mlp()
    with target_neurons(network, {"fc1": [0]}):
        with pytest.raises(AttrGraphError, match="forward of layer 'fc1' is replaced already"), \
                target_neurons(network, {"fc1": [1]}):  # fmt: skip
            pass
        with target_neurons(network, {"fc2": [1]}) as inner:
            assert inner.trained_neuron_count == 1
        assert "forward" in network.fc1.__dict__
        network.train()
        assert not network.norm.training
