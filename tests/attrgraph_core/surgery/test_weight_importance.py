"""EWC's importance: by hand on one neuron, as the Fisher information of neurons, and as a penalty that holds."""

import pytest
import torch
from torch import nn

from attrgraph_core.surgery.fine_tuning import FineTuning
from attrgraph_core.surgery.samples import Samples
from attrgraph_core.surgery.weight_importance import weight_importance
from attrgraph_core.targeting.scores.fisher import fisher
from attrgraph_core.training.models import mlp


def samples(count=20):
    generator = torch.Generator().manual_seed(0)
    return Samples(torch.randn(count, 5, generator=generator), torch.arange(count) % 3)


def test_squares_of_each_samples_gradient_with_a_mean_of_one():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.zeros(2, 2)
    # Scores are 0: the gradient of a weight is -x/2 for the right class and x/2 for the other.
    found = weight_importance(layer, Samples(torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([0, 1])))
    # Sums of squares: x1 gives 1/4 + 1/4, x2 gives 0 + 4/4; their mean is 3/4.
    torch.testing.assert_close(found["weight"], torch.tensor([[0.5, 1.0], [0.5, 1.0]]) / 0.75)
    assert layer.weight.grad is None


def test_adds_up_to_the_fisher_information_of_neurons():
    model = mlp((5,), 3, (7, 4))
    found = weight_importance(model, samples())
    table = fisher(model, *samples()).set_index(["layer", "index"])["fisher"]
    by_neuron = {(layer, index): float(found[f"{layer}.weight"][index].sum() + found[f"{layer}.bias"][index])
                 for layer, index in table.index}  # fmt: skip
    total = sum(by_neuron.values())
    for key, value in table.items():
        assert by_neuron[key] / total == pytest.approx(value / table.sum(), rel=1e-4)
    assert torch.cat([value.flatten() for value in found.values()]).mean() == pytest.approx(1.0, rel=1e-5)


def test_the_penalty_holds_what_matters_and_lets_go_of_the_rest():
    model = mlp((5,), 3, (7, 4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    importance = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    importance["fc1.weight"][:, 0] = 1e6
    other = Samples(samples().inputs, (samples().labels + 1) % 3)
    FineTuning(1e-2, 50, pull=1.0, importance=importance).run(model, other)
    moved = (model.state_dict()["fc1.weight"] - before["fc1.weight"]).abs()
    assert moved[:, 0].max() < 0.1 * moved[:, 1:].max()
