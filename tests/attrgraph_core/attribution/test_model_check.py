"""A network whose trace is another function is refused by `attribute` and `lint`; tracing one leaves nothing behind."""

import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.ablation import ablate_neurons
from attrgraph_core.attribution.linter import lint
from tests.attrgraph_core.attribution.test_no_trace import everything

INPUTS = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).double()


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second, self.last = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)


class Aliased(Base):
    """A residual block whose activation overwrites what the skip connection reads."""

    def forward(self, x):
        x = self.first(x)
        return self.last(self.second(functional.relu(x, inplace=True)) + x)


class AliasedSum(Base):
    def forward(self, x):
        x = self.first(x)
        skip = x
        x += self.second(torch.relu(x))
        return self.last(torch.relu(x) + skip)


class View(Base):
    def forward(self, x):
        x = self.first(x)
        x.view(-1, 2, 3).mul_(2.0)
        return self.last(torch.relu(x))


class Type(Base):
    def forward(self, x):
        x = x * 2 if isinstance(x, torch.Tensor) else x
        return self.last(torch.relu(self.first(x)))


class Attribute(Base):
    def forward(self, x):
        x = self.first(x)
        x = x if hasattr(x, "anything") else x * 2
        return self.last(torch.relu(x))


class Hooked(Base):
    def __init__(self) -> None:
        super().__init__()
        self.first.register_forward_hook(lambda module, given, output: output * 2)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


@pytest.mark.parametrize(
    ("network", "layer"),
    [(Aliased, "last"), (AliasedSum, "last"), (View, "last"), (Type, "first"), (Attribute, "last"), (Hooked, "first")],
)
def test_a_trace_that_computes_something_else_is_refused_and_the_place_is_named(network, layer):
    model = network().double()
    message = f"{network.__name__} computes something else than torch.fx sees of it, first at layer '{layer}'; let its"
    for method in ("deeplift", "gradient_times_activation", "saliency"):
        with pytest.raises(AttrGraphError, match=message):
            attribute(model, INPUTS, 0, method=method)
    with pytest.raises(AttrGraphError, match=message):
        ablate_neurons(model, INPUTS, 0, [("first", 0)])
    (found,) = lint(model, INPUTS)
    assert found.severity == "refused"
    assert found.change.startswith("let its forward not work in place")


class Autocast(Base):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.last(torch.relu(self.first(x))).float()


def test_autocast_of_the_network_itself_is_seen():
    with pytest.raises(AttrGraphError, match=r"first at layer 'first'.* or switch autocast on"):
        attribute(Autocast(), INPUTS.float(), 0)


class Noisy(Base):
    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last(x + torch.randn(6).double())


class DrawnAnew(Base):
    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last(x + x.new_zeros(x.size(0), 6).normal_())


@pytest.mark.parametrize("network", [Noisy, DrawnAnew])
def test_a_network_that_draws_is_refused_and_the_random_state_stays(network):
    model = network().double()
    before = torch.get_rng_state()
    with pytest.raises(AttrGraphError, match="gives other scores at each call, in evaluation mode, too; let it"):
        attribute(model, INPUTS, 0)
    assert lint(model, INPUTS)[0].severity == "refused"
    assert torch.equal(torch.get_rng_state(), before)


class Optional(Base):
    """Arguments with defaults, on which the forward branches."""

    def forward(self, x, other=None, *rest, flag=False, temperature=2.0):
        if x.dim() == 1 or x.shape[-1] != 5:
            raise ValueError
        x = torch.relu(self.first(x))
        x = self.second(x) if other is None else x
        return self.last(x) * 2 if flag else self.last(x) / temperature


def test_arguments_beside_the_input_have_their_defaults():
    model = Optional().double()
    graph = attribute(model, INPUTS, 1, method="gradient_times_activation")
    assert list(graph.neurons.layer.unique()) == ["input", "first", "second", "last"]
    output = graph.neurons[graph.neurons.kind == "output"].attribution.sum()
    assert output == pytest.approx(model(INPUTS)[:, 1].mean().item(), abs=1e-12)


class Two(Base):
    def forward(self, x, other, *, third):
        return self.last(torch.relu(self.first(x)))


def test_a_second_input_is_named():
    with pytest.raises(AttrGraphError, match="must take one input; 'other' is another that has no default"):
        attribute(Two().double(), INPUTS, 0)


class Keeping(Base):
    """Its forward keeps features, makes constants, counts its calls and writes its lists."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.seen, self.by_name = None, [], {"calls": 0}
        self.lists, self.calls = {"kept": []}, torch.zeros(())
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("written", torch.zeros(()))

    def forward(self, x):
        self.features = torch.relu(self.first(x)) * torch.tensor(2.0)
        self.seen.append(self.features)
        self.by_name["last"] = self.features
        self.lists["kept"].append(x)
        self.calls += 1
        self.extra = x
        self.count = self.count + 1
        self.written += 1
        return self.last(self.features)


@pytest.mark.parametrize("method", ["deeplift", "saliency"])
def test_what_a_forward_leaves_behind_goes(method):
    model = Keeping().double()
    before, attributes = everything(model, INPUTS), dict(vars(model))
    attribute(model, INPUTS, 0, method=method)
    lint(model, INPUTS)
    assert vars(model) == attributes
    assert (model.features, model.seen, model.by_name) == (None, [], {"calls": 0})
    assert (model.lists, float(model.calls)) == ({"kept": []}, 0.0)
    assert (float(model.count), float(model.written)) == (0.0, 0.0)
    assert [part for number, part in enumerate(everything(model, INPUTS)) if number] == before[1:]
    pickle.dumps(model)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_rounding_is_no_other_function(precision):
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 3)
    model = nn.Sequential(encoder, nn.Flatten(), nn.Linear(24, 3)).to(precision)
    attribute(model, torch.randn(4, 3, 8, dtype=precision), 0, method="gradient_times_activation")
    with torch.autocast("cpu", torch.bfloat16):
        attribute(model.float(), torch.randn(4, 3, 8), 0, method="gradient_times_activation")
        model(torch.randn(4, 3, 8)).sum().backward()  # no copies of weights without a gradient stay in the cache
    assert all(parameter.grad is not None for parameter in model.parameters())
