"""Fine-tuning against a slow twin written from the definitions of its penalties, and what it leaves alone."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.fine_tuning import BATCH_SIZE, FineTuning
from attrgraph_core.surgery.samples import Samples
from attrgraph_core.surgery.weight_entries import WeightEntries
from attrgraph_core.surgery.weight_importance import weight_importance

RATE, STEPS = 1e-2, 6


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 3)).double()


@pytest.fixture
def samples() -> Samples:
    generator = torch.Generator().manual_seed(0)
    return Samples(torch.randn(40, 5, generator=generator).double(), torch.arange(40) % 3)


def of_the_definition(model, samples, pull, importance):
    """w is trained on L(w) + pull / 2 * sum_k F_k (w_k - w*_k)^2; F is 1 for L2-SP."""
    twin = copy.deepcopy(model).eval()
    first = [parameter.detach().clone() for parameter in twin.parameters()]
    optimizer = torch.optim.Adam(twin.parameters(), lr=RATE)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        rows = torch.randint(40, (BATCH_SIZE,), generator=generator)
        optimizer.zero_grad()
        functional.cross_entropy(twin(samples.inputs[rows]), samples.labels[rows]).backward()
        with torch.no_grad():
            for (name, parameter), begin in zip(twin.named_parameters(), first, strict=True):
                parameter.grad += pull * (importance[name] if importance else 1.0) * (parameter - begin)
        optimizer.step()
    return twin


@pytest.mark.parametrize("pull", [0.0, 5.0])
@pytest.mark.parametrize("is_ewc", [False, True])
def test_penalties_are_those_of_their_definitions(model, samples, pull, is_ewc):
    importance = weight_importance(model, samples) if is_ewc else None
    expected = of_the_definition(model, samples, pull, importance)
    FineTuning(RATE, STEPS, pull=pull, importance=importance).run(model, samples)
    for own, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-10)


def test_what_is_frozen_removed_or_not_named_stays(model, samples):
    before = copy.deepcopy(model.state_dict())
    model[0].bias.requires_grad_(False)
    removed = WeightEntries({"0.weight": torch.tensor([3, 7])})
    model[0].weight.data.view(-1)[[3, 7]] = 0.0
    FineTuning(RATE, STEPS, removed=removed).run(model, samples)
    assert model.training
    assert torch.equal(model[0].bias, before["0.bias"])
    assert not model[0].weight.view(-1)[[3, 7]].any()
    assert not torch.equal(model[3].weight, before["3.weight"])
    hidden = model[0].weight.detach().clone()
    FineTuning(RATE, STEPS, only=frozenset({"3.weight"})).run(model, samples)
    assert torch.equal(model[0].weight, hidden)
    with pytest.raises(AttrGraphError, match="unfreeze"):
        FineTuning(RATE, STEPS, only=frozenset({"0.bias"})).run(model, samples)
