"""Captum's DeepLiftShap where it is right, and refused where it is not."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.linter import lint


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.last(functional.relu(self.first(x)))


RELU = nn.ReLU()
REFUSED = {
    "relu at 'relu' is no module that Captum's DeepLIFT knows; make it one, or take deepshap": Functional(),
    "GELU at '1' is no module": nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 3)),
    "LayerNorm at '1' is not complete": nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3)),
    "ReLU at '1' is used more than once; give each place its own": nn.Sequential(
        nn.Linear(4, 5), RELU, nn.Linear(5, 5), RELU, nn.Linear(5, 3)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_it_would_get_wrong_is_refused_by_name(message):
    model, inputs = REFUSED[message], torch.randn(3, 4)
    with pytest.raises(AttrGraphError, match=message):
        attribute(model, inputs, 0, method="deeplift_shap", baseline=inputs)
    (found,) = [finding for finding in lint(model, inputs, "deeplift_shap") if finding.severity == "refused"]
    assert message.startswith(found.place)
    assert attribute(model, inputs, 0, method="deepshap", baseline=inputs).completeness_delta < 1e-4


def test_it_is_the_input_of_deepshap():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    inputs, background = torch.randn(5, 4).double(), torch.randn(3, 4).double()
    captum, ours = (
        attribute(model, inputs, 2, method=method, baseline=background) for method in ("deeplift_shap", "deepshap")
    )
    of_input = ours.neurons[ours.neurons.layer == "input"]["attribution"]
    np.testing.assert_allclose(captum.neurons[:4]["attribution"], of_input, atol=1e-12)


def test_a_loss_is_refused_where_its_shares_do_not_add_up():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    inputs = 3 * torch.randn(5, 4).double()
    with pytest.raises(AttrGraphError, match=r"deeplift_shap attributions of target loss miss .*; .* take deepshap"):
        attribute(model, inputs, "loss", labels=torch.arange(5) % 3, method="deeplift_shap", baseline=inputs[:2])
