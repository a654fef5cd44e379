"""Held against the Adversarial Robustness Toolbox: FGSM number by number, PGD by accuracy; and the ensemble of both."""

import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.robustness.attack import FGSM, PGD, Attack
from attrgraph_core.robustness.ensemble import Ensemble
from attrgraph_core.robustness.robust_accuracy import accuracy, robust_accuracy


@pytest.fixture
def toolbox(digits_network):
    """ART's attacks, and its view of the network."""
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    model, _, _ = digits_network
    model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield (
            evasion,
            PyTorchClassifier(model, nn.CrossEntropyLoss(), (64,), 10, clip_values=(0.0, 1.0), device_type="cpu"),
        )
    model.zero_grad()


@pytest.mark.parametrize(("norm", "theirs", "epsilon"), [("linf", np.inf, 0.1), ("l2", 2, 0.5)])
def test_fgsm_and_pgd_are_those_of_the_toolbox(digits_network, toolbox, norm, theirs, epsilon):
    model, inputs, labels = digits_network
    evasion, estimator = toolbox
    # Inputs that are right and still are after: of the others ours keeps the place, or the class, of before.
    step = torch.from_numpy(
        evasion.FastGradientMethod(estimator, norm=theirs, eps=epsilon).generate(inputs.numpy(), labels.numpy())
    )
    own = Attack(norm=norm).on(model, inputs, labels, epsilon, (0.0, 1.0))
    was_right = model(inputs).argmax(dim=1) == labels
    torch.testing.assert_close(own[was_right], step[was_right], rtol=0, atol=1e-6)
    np.random.seed(0)  # the toolbox draws from NumPy's global state
    many = evasion.ProjectedGradientDescentPyTorch(
        estimator, norm=theirs, eps=epsilon, eps_step=2.5 * epsilon / 20, max_iter=20, num_random_init=2, verbose=False,
        batch_size=512,
    ).generate(inputs.numpy(), labels.numpy())  # fmt: skip
    own_many = Attack(norm=norm, steps=20, restarts=2).on(model, inputs, labels, epsilon, (0.0, 1.0))
    difference = accuracy(model, own_many, labels) - accuracy(model, torch.from_numpy(many), labels)
    assert abs(difference) <= 0.015
    assert accuracy(model, own_many, labels) < accuracy(model, own, labels)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.08), ("l2", 0.5)])
def test_the_ensemble_misleads_no_less_than_pgd_and_stays_inside(digits_cnn, norm, epsilon):
    model, inputs, labels = (part[:100] if isinstance(part, torch.Tensor) else part for part in digits_cnn)
    numpy_state = np.random.get_state()[1].copy()
    ensemble = Ensemble(norm, steps=10, restarts=1, queries=50)
    changed = ensemble.on(model, inputs, labels, epsilon, (0.0, 1.0))
    alone = Attack(norm, 10, 1).on(model, inputs, labels, epsilon, (0.0, 1.0))
    assert 0 < accuracy(model, changed, labels) <= accuracy(model, alone, labels) < accuracy(model, inputs, labels)
    change = (changed - inputs).flatten(1)
    assert (change.abs().max() if norm == "linf" else change.norm(dim=1).max()) <= epsilon + 1e-6
    assert (changed.min() >= 0.0) & (changed.max() <= 1.0)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


class Stepped(nn.Module):
    """Answers as another network does, by scores rounded so that their gradient is zero."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, inputs):
        scores = self.network(inputs)
        return scores.detach().round(decimals=1) + 0 * scores


def test_the_ensemble_is_not_taken_in_by_masked_gradients(digits_cnn):
    model, inputs, labels = digits_cnn
    masked = Stepped(model)
    epsilons = [0.1]
    by_gradient = robust_accuracy(masked, inputs[:60], labels[:60], epsilons, attack=FGSM, value_range=(0.0, 1.0))
    by_all = robust_accuracy(
        masked, inputs[:60], labels[:60], epsilons, attack=Ensemble(steps=5, restarts=1, queries=200),
        value_range=(0.0, 1.0),
    )  # fmt: skip
    assert by_gradient["accuracy"][0] == accuracy(masked, inputs[:60], labels[:60])
    assert by_all["accuracy"][0] < by_gradient["accuracy"][0] - 0.1


def test_two_classes_do_without_the_ratio_of_logits(linear_network):
    linear_network.weight.data *= 2  # else its scores add up to 1 at (1, 1, 1), and the toolbox takes them for softmax
    inputs = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(30, dtype=torch.int64)
    changed = Ensemble(steps=5, restarts=1).on(linear_network, inputs, labels, 0.2)
    weight = linear_network.weight.data[0]
    possible = (inputs - 0.2 * weight.sign()).clamp(inputs.min(), inputs.max()) @ weight >= 0
    assert torch.equal(linear_network(changed).argmax(dim=1) == 0, possible)


def test_a_toolbox_that_is_not_there_is_named_with_its_extra(digits_network, monkeypatch):
    model, inputs, labels = digits_network
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "art"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "art", None)
    with pytest.raises(AttrGraphError, match=r"'art' is not installed; pip install 'attrgraph\[robustness\]'"):
        Ensemble(steps=1).on(model, inputs, labels, 0.1)
    assert PGD.on(model, inputs[:4], labels[:4], 0.1).shape == (4, 64)
