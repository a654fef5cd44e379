"""What a pass does to the order of memory changes neither what it computes nor the model."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core import attribute

INPUTS = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
METHODS = ["gradient_times_activation", "deeplift", "lrp_epsilon", "conductance"]


class Viewed(nn.Module):
    """Views of what a convolution puts out, whose channels are last in memory in a pass."""

    def __init__(self, like: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.like, self.convolution, self.output = like, nn.Conv2d(3, 8, 3, padding=1), nn.Linear(128, 3)

    def forward(self, x):
        x = torch.relu(self.convolution(x))
        return self.output(x.view_as(x.flatten(1)) if self.like else x.view(x.size(0), -1))


class Flattened(Viewed):
    def forward(self, x):
        return self.output(torch.flatten(torch.relu(self.convolution(x)), 1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("like", [False, True], ids=["view", "view_as"])
def test_views_may_copy(method, like):
    found, expected = (attribute(make(like).double(), INPUTS, 1, method=method) for make in (Viewed, Flattened))
    for table in ("neurons", "edges"):
        numbers = [getattr(graph, table).select_dtypes("number").to_numpy() for graph in (found, expected)]
        torch.testing.assert_close(*map(torch.from_numpy, numbers))


class Placed(Flattened):
    """A parameter that an operation gives back as it is."""

    def __init__(self) -> None:
        super().__init__(False)
        self.place = nn.Parameter(torch.randn(1, 3, 4, 4))

    def forward(self, x):
        return super().forward(x + self.place.to(torch.float64))


def test_the_model_gets_no_hooks():
    model = Placed().double().to(memory_format=torch.channels_last)
    attribute(model, INPUTS, 1)
    assert not model.place._backward_hooks


class Masked(nn.Module):
    """Attention by hand, its mask made of the samples."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embed, self.mask, self.output = nn.Linear(4, 6), nn.Linear(4, 3), nn.Linear(6, 3)

    def forward(self, x):
        values = self.embed(x)
        return self.output(functional.scaled_dot_product_attention(values, values, values, self.mask(x)).mean(1))


@pytest.mark.parametrize("method", ["deeplift", "lrp_epsilon"])
def test_masks_of_attention_are_held_with_its_weights(method):
    graph = attribute(Masked().double(), torch.randn(5, 3, 4).double(), 1, method=method)
    assert graph.completeness_delta < 1e-12
    assert (graph.neurons.loc[graph.neurons["layer"] == "mask", "attribution"] == 0.0).all()
