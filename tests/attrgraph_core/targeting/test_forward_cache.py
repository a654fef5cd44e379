"""The forward cache: the same scores and gradients as the model, of which it keeps what it may."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.forward_cache import ForwardCache
from attrgraph_core.targeting.target_neurons import target_neurons
from tests.attrgraph_core.targeting.networks import mlp

SAMPLES = 10


def images() -> nn.Module:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(12, 6), nn.GELU(), nn.Identity(), nn.Linear(6, 5, bias=False), nn.Tanh(), nn.Linear(5, 3),
    )  # fmt: skip


def noisy() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


CASES = {
    "first two layers": (lambda: mlp([4, 6, 5, 3]), (4,), {"0": [1, 4], "2": [0, 3], "4": [0, 1, 2]}, "rows"),
    "nothing active above": (lambda: mlp([4, 6, 5, 3]), (4,), {"0": [1, 4]}, "rows"),
    "all active above": (lambda: mlp([4, 6, 5, 3]), (4,), {"0": [5], "2": range(5)}, "rows"),
    "prefix and rows": (images, (1, 6, 6), {"3": [2, 5], "6": [1], "8": [0, 2]}, "rows"),
    "prefix alone": (images, (1, 6, 6), {"6": range(5), "8": [2]}, "prefix"),
    "convolution": (images, (1, 6, 6), {"0.0": [1], "8": [2]}, "none"),
    "normalisation within": (images, (1, 6, 6), {"0.1": [1], "8": [2]}, "prefix"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("on_disk", [False, True])
def test_scores_and_steps_are_those_of_the_model(tmp_path, name, on_disk):
    make, shape, neurons, level = CASES[name]
    states = []
    inputs = torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(0)).double()
    for cached in (False, True):
        torch.manual_seed(0)
        network = make().double().train()
        with target_neurons(network, neurons) as targeted:
            optimizer = torch.optim.AdamW(targeted.parameters(), lr=0.1)
            cache = ForwardCache(
                targeted,
                inputs,
                byte_budget=0 if on_disk else 2**20,
                folder=tmp_path if on_disk else None,
                batch_size=3,
            )
            assert (cache.level, cache.place) == (level, "disk" if on_disk and level != "none" else "memory")
            for start in (0, 4, 2):
                rows = torch.arange(start, start + 5)
                scores = cache(rows) if cached else network(inputs[rows])
                torch.testing.assert_close(scores, network(inputs[rows]), rtol=1e-10, atol=1e-10)
                optimizer.zero_grad()
                functional.cross_entropy(scores, rows % 3).backward()
                optimizer.step()
        states.append(network.state_dict())
    assert list(tmp_path.iterdir()) == []
    torch.testing.assert_close(states[1], states[0], rtol=1e-8, atol=1e-8)


def test_keeps_the_most_that_fits():
    network, inputs = images(), torch.randn(SAMPLES, 1, 6, 6)
    with target_neurons(network, {"3": [2, 5], "6": [1]}) as targeted:
        kept = {budget: ForwardCache(targeted, inputs, byte_budget=budget) for budget in (10**6, 500, 100)}
        assert {budget: cache.level for budget, cache in kept.items()} == {10**6: "rows", 500: "prefix", 100: "none"}
        # 12 inputs, 6 activations and 4 frozen sums a sample, of 4 bytes.
        assert [cache.byte_count for cache in kept.values()] == [SAMPLES * 22 * 4, SAMPLES * 12 * 4, 0]


def test_what_draws_random_numbers_ends_it():
    torch.manual_seed(0)
    with target_neurons(noisy(), {"4": [0]}) as targeted:
        cache = ForwardCache(targeted, torch.randn(SAMPLES, 4))
        assert cache.level == "prefix"
        assert cache.byte_count == SAMPLES * 6 * 4  # what the dropout reads
    with target_neurons(noisy(), {"0": [0]}) as targeted:
        assert ForwardCache(targeted, torch.randn(SAMPLES, 4)).level == "none"
    with target_neurons(images(), {"8": [0]}, statistics="updated") as targeted:
        cache = ForwardCache(targeted, torch.randn(SAMPLES, 1, 6, 6))
        assert cache.byte_count == SAMPLES * 3 * 16 * 4  # the convolution before the batch normalisation


def test_refuses_other_networks_and_being_used_after():
    with target_neurons(nn.Linear(3, 2), {"": [0]}) as targeted, pytest.raises(AttrGraphError, match=r"nn\.Sequential"):
        ForwardCache(targeted, torch.randn(2, 3))
    with target_neurons(mlp([3, 3, 2]), {"0": [0]}) as targeted:
        cache = ForwardCache(targeted, torch.randn(2, 3))
    with pytest.raises(AttrGraphError, match="that was left"):
        cache(torch.tensor([0]))
