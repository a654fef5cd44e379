"""Training chosen entries: as dense training of these alone would, and nothing else moves by a bit."""

from collections import OrderedDict
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.target_edges import target_edges
from attrgraph_core.surgery.weight_change import copy_of
from attrgraph_core.surgery.weight_entries import WeightEntries

OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1, fused=True),
}
IMAGES, LABELS = torch.randn(12, 1, 4, 4, generator=torch.Generator().manual_seed(2)), torch.arange(12) % 3


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = OrderedDict(
        conv1=nn.Conv2d(1, 4, 3, padding=1), norm=nn.BatchNorm2d(4), relu=nn.ReLU(), flatten=nn.Flatten(),
        fc1=nn.Linear(64, 8), relu2=nn.ReLU(), output=nn.Linear(8, 3),
    )  # fmt: skip
    return nn.Sequential(layers)


ENTRIES = WeightEntries({"conv1.weight": torch.tensor([0, 7, 20]), "output.weight": torch.tensor([3, 4, 19])})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_the_entries_move(model, name):
    before = copy_of(model)
    with target_edges(model, ENTRIES) as targeted:
        optimizer = OPTIMIZERS[name](targeted.parameters())
        model.train()
        for _ in range(5):
            optimizer.zero_grad()
            functional.cross_entropy(targeted(IMAGES), LABELS).backward()
            optimizer.step()
        state = [value for own in optimizer.state.values() for value in own.values() if value is not None]
        assert {tuple(value.shape) for value in state} <= {(3,), ()}  # the rest has no optimizer state
        assert targeted.trained_weight_count == 6
    for key, value in model.state_dict().items():
        moved = (value != before[key]).reshape(-1).nonzero().squeeze(1).tolist()
        assert moved == ENTRIES.positions.get(key, torch.tensor([])).tolist(), key


def test_the_entries_move_as_a_masked_gradient_moves_them(model):
    """Without momentum or decay masking is exact; in float64 to the last bits."""
    model.double().eval()
    twin_state = {name: value.clone() for name, value in model.state_dict().items()}
    with target_edges(model, ENTRIES) as targeted:
        optimizer = torch.optim.Adam(targeted.parameters(), lr=0.01)
        for _ in range(4):
            optimizer.zero_grad()
            functional.cross_entropy(model(IMAGES.double()), LABELS).backward()
            optimizer.step()
    trained = copy_of(model)
    model.load_state_dict(twin_state)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(4):
        optimizer.zero_grad()
        functional.cross_entropy(model(IMAGES.double()), LABELS).backward()
        for name, parameter in model.named_parameters():
            mask = torch.zeros(parameter.numel(), dtype=torch.bool)
            mask[ENTRIES.positions.get(name, torch.tensor([], dtype=torch.int64))] = True
            parameter.grad *= mask.reshape(parameter.shape)
        optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=0, atol=1e-12)


def test_leaving_by_an_exception_leaves_an_ordinary_model(model):
    model.output.bias.requires_grad_(False)
    functional.cross_entropy(model(IMAGES), LABELS).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}

    def fail():
        with target_edges(model, ENTRIES):
            assert not model.fc1.weight.requires_grad
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert {name: parameter.grad for name, parameter in model.named_parameters()} == gradients
    assert model.fc1.weight.requires_grad
    assert not model.output.bias.requires_grad
    assert model.norm.training
    assert not model.conv1.weight._post_accumulate_grad_hooks


def test_gradients_accumulate_and_loaded_weights_are_gone_on_from(model):
    model.eval()
    with target_edges(model, ENTRIES) as targeted:
        (first, *_) = targeted.parameters()
        for _ in range(2):
            functional.cross_entropy(model(IMAGES), LABELS).backward()
        twice = first.grad.clone()
        first.grad = None
        functional.cross_entropy(model(IMAGES), LABELS).backward()
        torch.testing.assert_close(twice, 2 * first.grad)
        other = {name: value + 1 for name, value in targeted.state_dict().items()}
        targeted.load_state_dict(other)
        assert torch.equal(first.detach(), other["conv1.weight"].reshape(-1)[[0, 7, 20]])


def test_an_unknown_parameter_is_refused(model):
    with (
        pytest.raises(AttrGraphError, match="no parameter 'fc9"),
        target_edges(model, WeightEntries({"fc9.weight": torch.tensor([0])})),
    ):
        pass


def test_an_optimizer_that_asks_within_a_step_sees_what_it_tries():
    """L-BFGS on all entries goes the way that it goes on the whole network."""

    def fitted(is_targeted):
        torch.manual_seed(0)
        model, inputs, wanted = nn.Linear(4, 3).double(), torch.randn(30, 4).double(), torch.randn(30, 3).double()
        entries = WeightEntries({"weight": torch.arange(12), "bias": torch.arange(3)})
        with target_edges(model, entries) if is_targeted else nullcontext(model) as trained:
            optimizer = torch.optim.LBFGS(trained.parameters(), max_iter=20)

            def loss():
                optimizer.zero_grad()
                found = (model(inputs) - wanted).square().mean()
                found.backward()
                return found

            optimizer.step(loss)
        return model.weight.detach()

    torch.testing.assert_close(fitted(True), fitted(False), rtol=0, atol=1e-6)
