"""Attacks: by hand, by the closed form of a linear network, within ball and range, without a trace."""

import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.robustness.attack import FGSM, PGD, Attack

INPUTS = torch.tensor([[1.0, 1.0, 0.5], [3.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])  # margins 2, 3, -1 for class 0
LABELS = torch.tensor([0, 0, 0])


def test_fgsm_takes_one_step_against_the_sign(linear_network):
    changed = FGSM.on(linear_network, INPUTS, LABELS, 0.25)
    # Down the margin by every weight; the third is wrong already.
    expected = [[0.75, 0.75, 0.75], [2.75, -0.25, 0.25], [-1.0, 0.0, 0.0]]
    assert changed.tolist() == expected


def test_fgsm_in_a_euclidean_ball_goes_along_the_gradient(linear_network):
    changed = Attack(norm="l2").on(linear_network, INPUTS[:1], LABELS[:1], 0.3)
    torch.testing.assert_close(changed, INPUTS[:1] - 0.3 * torch.tensor([[1.0, 2.0, -2.0]]) / 3)


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_pgd_finds_exactly_what_can_be_misled_of_a_linear_network(linear_network, norm, dual):
    inputs = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(500, dtype=torch.int64)
    weight = linear_network.weight.data[0]
    for epsilon in (0.1, 0.3):
        changed = Attack(norm=norm, steps=10).on(linear_network, inputs, labels, epsilon)
        holds = (changed @ weight) >= 0
        # A linear margin falls by at most epsilon times the dual norm of its weights.
        assert torch.equal(holds, (inputs @ weight) >= epsilon * weight.norm(p=dual) - 1e-6)
        assert 0 < holds.sum() < ((inputs @ weight) >= 0).sum()


@pytest.mark.parametrize("attack", [FGSM, PGD, Attack(norm="l2"), Attack(norm="l2", steps=5)])
def test_stays_in_the_ball_and_in_the_range(digits_network, attack):
    model, inputs, labels = digits_network
    changed = attack.on(model, inputs, labels, 0.1, (0.0, 1.0))
    change = (changed - inputs).flatten(1)
    size = change.abs().max(dim=1).values if attack.norm == "linf" else change.norm(dim=1)
    assert size.max() <= 0.1 + 1e-6
    assert (changed.min(), changed.max()) == (0.0, 1.0)


def test_more_steps_and_restarts_mislead_more(digits_network):
    model, inputs, labels = digits_network

    def right(attack):
        return int((model(attack.on(model, inputs, labels, 0.1, (0.0, 1.0))).argmax(dim=1) == labels).sum())

    clean = int((model(inputs).argmax(dim=1) == labels).sum())
    assert clean > right(FGSM) > right(PGD) >= right(Attack(steps=20, restarts=5))


def test_leaves_no_trace_and_repeats(digits_network):
    model, inputs, labels = digits_network
    model.train()
    state, before = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}
    first, again, other = (
        Attack(steps=3, seed=seed).on(model, inputs[:20], labels[:20], 0.05) for seed in (0, 0, 1)
    )  # fmt: skip
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: Attack(norm="l1"), "unknown norm 'l1'; known are linf, l2"),
        (lambda model: Attack(steps=-1), "steps is -1, not a whole number from 0 on"),
        (lambda model: Attack(restarts=0), "restarts is 0, not a whole number from 1 on"),
        (lambda model: FGSM.on(model, INPUTS, LABELS, -0.1), "epsilon is -0.1, not a number from 0 on"),
        (lambda model: FGSM.on(model, INPUTS, LABELS[:2], 0.1), "3 inputs have 2 labels"),
        (
            lambda model: FGSM.on(model, INPUTS, LABELS, 0.1, (0.0, 1.0)),
            "inputs go from -1 to 3, outside of the range 0 to 1",
        ),
    ],
)
def test_names_what_is_wrong(linear_network, make, message):
    with pytest.raises(AttrGraphError, match=message):
        make(linear_network)
