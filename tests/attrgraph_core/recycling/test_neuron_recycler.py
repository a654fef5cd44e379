"""Renewal: which neurons, what is exact of the function, what is forgotten, and what is counted."""

import copy
import warnings
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.recycling.neuron_recycler import NeuronRecycler, RecyclingWarning

INPUTS, LABELS = torch.randn(16, 6, generator=torch.Generator().manual_seed(1)).double(), torch.arange(16) % 3


def make_mlp(activation=nn.ReLU, seed=0):
    torch.manual_seed(seed)
    layers = OrderedDict(
        fc1=nn.Linear(6, 8), act1=activation(), fc2=nn.Linear(8, 10), act2=activation(), output=nn.Linear(10, 3)
    )
    return nn.Sequential(layers).double()


def make_cnn():
    torch.manual_seed(0)
    layers = OrderedDict(
        conv1=nn.Conv2d(1, 6, 3, padding=1), relu1=nn.ReLU(), conv2=nn.Conv2d(6, 4, 3), relu2=nn.ReLU(),
        pool=nn.MaxPool2d(2), flatten=nn.Flatten(), output=nn.Linear(16, 3),
    )  # fmt: skip
    return nn.Sequential(layers).double()


def train(model, optimizer, steps, recycler=None, inputs=INPUTS):
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), LABELS).backward()
        optimizer.step()
        if recycler is not None:
            recycler.step()


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def test_renewal_holds_the_neuron_at_its_mean_and_changes_nothing_else():
    """With decay 0 the mean is that of the last pass, whose weights we keep as they were: exact."""
    model = make_mlp()
    recycler = NeuronRecycler(model, torch.optim.SGD(model.parameters(), lr=1e-9), rate=0.03, decay=0.0)
    model(INPUTS).sum().backward()
    hidden = model[:2](INPUTS).detach()
    hidden[:, [2, 5]] = hidden[:, [2, 5]].mean(dim=0)
    expected = model[2:](hidden)
    recycler.renew("fc1", [2, 5])
    torch.testing.assert_close(model(INPUTS), expected, rtol=0, atol=1e-6)  # the running means are float32
    after = model(INPUTS)
    model.fc1.weight.data[[2, 5]] = 100.0  # whatever the incoming weights become
    assert torch.equal(model(INPUTS), after)


def test_renewing_a_dead_neuron_changes_no_bit_of_the_function():
    model = make_mlp()
    model.fc1.bias.data[3] = -1e3
    recycler = NeuronRecycler(model, adam(model), rate=0.1)
    model(INPUTS).sum().backward()
    before = model(INPUTS)
    recycler.renew("fc1", [3])
    assert torch.equal(model(INPUTS), before)
    assert model.fc1.bias[3] > -1.0


def test_a_channels_renewal_holds_it_at_its_mean_over_samples_and_positions():
    model, images = make_cnn(), torch.randn(8, 1, 6, 6).double()
    recycler = NeuronRecycler(model, adam(model), rate=0.1, decay=0.0)
    model(images).sum().backward()
    of_conv2 = model[:5](images).detach()
    of_conv2[:, 1] = of_conv2[:, 1].mean()
    expected = model[5:](of_conv2)
    recycler.renew("conv2", [1])
    torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-6)
    assert (model.output.weight[:, 4:8] == 0).all()
    recycler.renew("conv1", [0, 5])
    assert (model.conv2.weight[:, [0, 5]] == 0).all()


class TwoReaders(nn.Module):
    """One layer, read through two activations."""

    def __init__(self):
        super().__init__()
        self.fc, self.left, self.right = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)

    def hidden(self, inputs):
        sums = self.fc(inputs)
        return sums.relu(), sums.tanh()

    def forward(self, inputs):
        left, right = self.hidden(inputs)
        return self.left(left) + self.right(right)


@pytest.mark.filterwarnings("ignore::attrgraph_core.recycling.neuron_recycler.RecyclingWarning")
def test_what_two_layers_read_otherwise_is_held_at_the_mean_of_each():
    torch.manual_seed(0)
    model = TwoReaders().double()
    recycler = NeuronRecycler(model, adam(model), rate=0.1, decay=0.0, utility="contribution")
    model(INPUTS).sum().backward()
    left, right = (values.detach() for values in model.hidden(INPUTS))
    sums = [side.weight.abs().sum(dim=0) * a.abs().mean(dim=0)
            for side, a in ((model.left, left), (model.right, right))]  # fmt: skip
    torch.testing.assert_close(recycler.utilities("fc").double(), sum(sums).detach(), rtol=1e-5, atol=1e-7)
    for values in (left, right):
        values[:, 2] = values[:, 2].mean()
    expected = model.left(left) + model.right(right)
    recycler.renew("fc", [2])
    torch.testing.assert_close(model(INPUTS), expected, rtol=0, atol=1e-6)


def test_the_table_counts_what_was_dead_in_the_last_passes():
    """A running mean stays above 0 for thousands of passes; the table sees a death after `every`."""
    model = make_mlp()
    recycler = NeuronRecycler(model, torch.optim.SGD(model.parameters(), lr=0.0), rate=0.03, every=5)
    assert recycler.table().empty
    train(model, recycler.optimizer, 4, recycler)
    alive = recycler.table().set_index("layer")["dead_share"]["fc1"]
    dead = int((model[:2](INPUTS) > 0).any(dim=0).nonzero()[0])
    with torch.no_grad():
        model.fc1.bias[dead] = -1e3
    train(model, recycler.optimizer, 4, recycler)
    assert recycler.table()["dead_share"][0] == alive
    train(model, recycler.optimizer, 1, recycler)
    assert recycler.table()["dead_share"][0] == alive + 1 / 8
    recycler.renew("fc1", [dead])
    assert recycler.table()["dead_share"][0] == alive


@pytest.mark.parametrize("make", [make_mlp, make_cnn])
def test_influence_is_that_of_the_definition(make):
    """Sum over samples of |Σ over positions of a dL/da| where the next layer reads it; a mean of two passes."""
    model = make()
    inputs = INPUTS if make is make_mlp else torch.randn(16, 1, 6, 6).double()
    first, rest, count = ("fc1", 2, 1) if make is make_mlp else ("conv2", 5, 4)
    twin = copy.deepcopy(model)
    recycler = NeuronRecycler(model, adam(model), rate=0.1, decay=0.5)
    expected = []
    for scale in (1.0, 3.0):
        (functional.cross_entropy(model(scale * inputs), LABELS)).backward()
        hidden = twin[:rest](scale * inputs).detach().requires_grad_()
        functional.cross_entropy(twin[rest:](hidden), LABELS).backward()
        expected.append((hidden * hidden.grad).flatten(1).unflatten(1, (-1, count)).sum(dim=2).abs().sum(dim=0))
    # Of weights .5 and .25, over what they add up to.
    mean = (expected[0] * 0.25 + expected[1] * 0.5) / 0.75
    torch.testing.assert_close(recycler.utilities(first).double(), mean.detach(), rtol=1e-5, atol=1e-8)


def test_contribution_and_dormancy_are_those_of_their_definitions():
    for utility in ("contribution", "dormancy"):
        model = make_mlp(nn.Tanh)
        recycler = NeuronRecycler(model, adam(model), rate=0.1, utility=utility)
        model(INPUTS).sum().backward()
        size = model[:2](INPUTS).abs().mean(dim=0)
        expected = size * model.fc2.weight.abs().sum(dim=0) if utility == "contribution" else size / size.mean()
        torch.testing.assert_close(recycler.utilities("fc1").double(), expected.detach(), rtol=1e-5, atol=1e-7)


def test_the_least_used_old_neurons_are_renewed_and_their_state_is_forgotten():
    model = make_mlp()
    with torch.no_grad():
        model.fc2.weight[:, 6] = 0.0  # nobody hears fc1/6
    optimizer = adam(model)
    recycler = NeuronRecycler(model, optimizer, rate=0.125, every=4, grace=0)
    train(model, optimizer, 3, recycler)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    functional.cross_entropy(model(INPUTS), LABELS).backward()
    state = {name: optimizer.state[model.fc1.weight][name].clone() for name in ("exp_avg", "exp_avg_sq")}
    with torch.no_grad():
        least = int(recycler.utilities("fc1").argmin())
        renewed = recycler.step()
    assert renewed["fc1"] == [least]
    rest = [index for index in range(8) if index != least]
    assert torch.equal(model.fc1.weight[rest], before["fc1.weight"][rest])
    assert not torch.equal(model.fc1.weight[least], before["fc1.weight"][least])
    kept = [index for index in range(10) if index not in renewed["fc2"]]  # the others' incoming weights are new
    assert (model.fc2.weight[kept, least] == 0).all()
    for name, value in state.items():
        now = optimizer.state[model.fc1.weight][name]
        assert torch.equal(now[rest], value[rest])
        assert (now[least] == 0).all()
        assert (optimizer.state[model.fc2.weight][name][:, least] == 0).all()


def test_young_neurons_are_spared_and_parts_of_neurons_add_up():
    """A tenth of those older than 3 steps: .8 of 8, 1.6, then .6 + .7 as the renewed one is young, .3 + .6, .9 + .6."""
    model = make_mlp()
    optimizer = adam(model)
    recycler = NeuronRecycler(model, optimizer, rate=0.1, every=1, grace=3)
    counts = []
    model.train()
    for _ in range(8):
        functional.cross_entropy(model(INPUTS), LABELS).backward()
        counts.append(len(recycler.step().get("fc1", [])))
    assert counts == [0, 0, 0, 0, 1, 1, 0, 1]
    table = recycler.table().set_index("layer")
    assert table.loc["fc1", "renewed"] == 3
    assert 0 < table.loc["fc1", "age"] < 8


def test_two_recyclers_of_one_seed_do_the_same_and_leave_the_random_state():
    results = []
    for _ in range(2):
        model = make_mlp(seed=3)
        optimizer = adam(model)
        with NeuronRecycler(model, optimizer, rate=0.2, every=2, grace=0, utility="random", seed=5) as recycler:
            state = torch.get_rng_state()
            train(model, optimizer, 6, recycler)
            assert torch.equal(torch.get_rng_state(), state)
        results.append(model.state_dict())
        assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_evaluation_is_not_counted():
    model = make_mlp()
    recycler = NeuronRecycler(model, adam(model), rate=0.1)
    functional.cross_entropy(model(INPUTS), LABELS).backward()
    before = recycler.utilities("fc1").clone()
    model.eval()
    functional.cross_entropy(model(9 * INPUTS), LABELS).backward()
    assert torch.equal(recycler.utilities("fc1"), before)


def test_a_rate_beyond_the_cap_warns_and_the_cap_holds():
    model = make_mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.warns(RecyclingWarning, match="rate 0.5 is beyond the cap of 0.03"):
        recycler = NeuronRecycler(model, optimizer, rate=0.5, every=1, grace=0)
    train(model, optimizer, 30, recycler)
    assert recycler.table()["renewed"].tolist() == [int(30 * 0.03 * 8), int(30 * 0.03 * 10)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NeuronRecycler(make_mlp(), optimizer, rate=0.5, cap=0.5)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.inner, self.fc2 = nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(4, 8)
        self.output = nn.Linear(8, 3)

    def forward(self, values):
        hidden = self.fc1(values).relu()
        return self.output(hidden + self.fc2(self.inner(hidden).relu()))


def test_layers_that_a_sum_reads_are_left_out_by_name():
    model = Residual().double()
    optimizer = adam(model)
    recycler = NeuronRecycler(model, optimizer, rate=0.1)
    with pytest.warns(RecyclingWarning, match="is not recycled: '.*', which reads it, has no weights"):
        model(INPUTS)
    assert [layer.name for layer in recycler.layers] == ["inner"]
    assert set(recycler.skipped) == {"fc1", "fc2"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0}, "rate is 0; it is the share"), ({"rate": 0.1, "every": 0}, "every is 0"),
        ({"rate": 0.1, "utility": "luck"}, "unknown utility 'luck'; known are influence"),
        ({"rate": 0.1, "decay": 1}, "decay is 1"), ({"rate": 0.1, "cap": 2}, "cap is 2"),
        ({"rate": 0.1, "grace": -1}, "grace is -1"),
    ],
)  # fmt: skip
def test_settings_outside_their_range_are_refused(settings, message):
    model = make_mlp()
    with pytest.raises(AttrGraphError, match=message):
        NeuronRecycler(model, adam(model), **settings)


def test_what_cannot_be_recycled_is_refused():
    model = make_mlp()
    recycler = NeuronRecycler(model, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1), rate=0.01)
    with pytest.raises(AttrGraphError, match="was not run since"):
        recycler.step()
    with pytest.raises(AttrGraphError, match="optimizer does not train the weights into or out of layer 'fc1'"):
        model(INPUTS)
    linear = nn.Sequential(OrderedDict(output=nn.Linear(6, 3))).double()
    NeuronRecycler(linear, adam(linear), rate=0.1)
    with pytest.raises(AttrGraphError, match="it has no hidden layer"):
        linear(INPUTS)
