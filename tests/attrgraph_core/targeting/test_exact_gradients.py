"""Gradients of trained neurons are those of dense training, in random networks, and cost what the formula says."""

import itertools
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from attrgraph_core.targeting.target_neurons import target_neurons
from tests.attrgraph_core.targeting.networks import Residual, Words, mlp, neuron_counts, rows_of

QUICK = settings(max_examples=15)


def dense_gradients(network: nn.Module, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    functional.cross_entropy(network(inputs), labels).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


def targeted_rows(network: nn.Module, neurons: dict[str, list[int]], inputs: Tensor, labels: Tensor, **how: Any) -> Any:
    """Scores, and by parameter the gradients of the leaves where they belong in the parameter, NaN elsewhere."""
    with target_neurons(network, neurons, **how) as targeted:
        scores = network(inputs)
        functional.cross_entropy(scores, labels).backward()
        found = {}
        for layer in targeted.layers:
            for kind, active in layer.active.items():
                placed = torch.full_like(active.parameter, torch.nan)
                gradient = torch.cat([leaf.grad for leaf in active.leaves])
                if active.rows is None:
                    placed = gradient
                elif active.columns is not None:
                    placed[active.rows[:, None], active.columns] = gradient
                else:
                    placed.index_copy_(active.dim, active.rows, gradient.t() if active.dim else gradient)
                found[f"{layer.name}.{kind}".removeprefix(".")] = placed
    return scores.detach(), found


def assert_exact(network: nn.Module, neurons: dict[str, list[int]], inputs: Tensor, **how: Any) -> None:
    labels = torch.arange(len(inputs)) % 3
    network.double().eval()
    scores, found = targeted_rows(network, neurons, inputs, labels, **how)
    with torch.no_grad():
        # Kernels for inference add in another order.
        torch.testing.assert_close(scores, network(inputs), rtol=1e-10, atol=1e-10)
    expected = dense_gradients(network, inputs, labels)
    names = [name for name in expected if name.rpartition(".")[0] in neurons]
    assert sorted(found) == sorted(names)
    for name in names:
        dim, rows = rows_of(network, name, neurons)
        own = found[name].index_select(dim, torch.tensor(sorted(rows)))
        columns = how.get("columns", {}).get(name.rpartition(".")[0])
        wanted = expected[name].index_select(dim, torch.tensor(sorted(rows)))
        if columns is not None and name.endswith("weight"):
            own, wanted = own[:, sorted(columns)], wanted[:, sorted(columns)]
        torch.testing.assert_close(own, wanted, rtol=1e-8, atol=1e-8)
        is_row = torch.isin(torch.arange(found[name].shape[dim]), torch.tensor(rows))
        if columns is None and not is_row.all():
            assert found[name].index_select(dim, (~is_row).nonzero().flatten()).isnan().all(), name


def some_neurons(data: st.DataObject, network: nn.Module) -> dict[str, list[int]]:
    counts = neuron_counts(network)
    layers = data.draw(st.sets(st.sampled_from(sorted(counts)), min_size=1))
    return {
        name: sorted(data.draw(st.sets(st.integers(0, counts[name] - 1), min_size=1), name)) for name in sorted(layers)
    }


@QUICK
@given(
    st.data(), st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU, nn.LeakyReLU, nn.Identity, nn.Softplus]),
)  # fmt: skip
def test_linear_layers(data, hidden, activation):
    torch.manual_seed(len(hidden))
    network = mlp([4, *hidden, 3], activation)
    assert_exact(network, some_neurons(data, network), torch.randn(5, 4).double())


@QUICK
@given(
    st.data(), st.sampled_from([1, 2, 3, 6]), st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.sampled_from([1, 2])
)
def test_convolutions_residuals_concatenations_and_batch_norm(data, groups, stride, dilation, dimensions):
    torch.manual_seed(groups)
    network = Residual(groups, stride, dilation, dimensions)
    assert_exact(network, some_neurons(data, network), torch.randn(3, 2, *[6] * dimensions).double())


@QUICK
@given(st.data(), st.sampled_from([1, 2, 4]), st.booleans(), st.booleans())
def test_embeddings_attention_and_layer_norm(data, heads, batch_first, need_weights):
    torch.manual_seed(heads)
    network = Words(heads, batch_first, need_weights)
    neurons = some_neurons(data, network)
    assert_exact(network, neurons, torch.randint(0, 7, (4, 5), generator=torch.Generator().manual_seed(heads)))


@QUICK
@given(st.data())
def test_chosen_columns(data):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3),
        nn.ReLU(), nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip
    widths = {"0": 3, "3": 5, "6": 16, "8": 6}
    neurons = some_neurons(data, network)
    columns = {name: sorted(data.draw(st.sets(st.integers(0, widths[name] - 1), min_size=1), name)) for name in neurons}
    assert_exact(network, neurons, torch.randn(3, 3, 8, 8).double(), columns=columns)


@pytest.mark.parametrize("statistics", ["frozen", "updated"])
def test_statistics_move_by_choice_alone(statistics):
    torch.manual_seed(0)
    network = Residual(1, 1, 1, 2)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with target_neurons(network, {"stem": [1], "norm": [2]}, statistics=statistics):
        network.train()
        network(torch.randn(4, 2, 6, 6)).sum().backward()
    moved = {name for name, buffer in network.named_buffers() if not torch.equal(buffer, before[name])}
    assert moved == (set() if statistics == "frozen" else set(before))


@pytest.mark.parametrize("shape", [(6, 4), (6, 3, 4)])
def test_batch_statistics_over_features_need_them_all(shape):
    """Batch normalisation over (samples, 3, features) mixes the features, over (samples, features) it does not."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(5 if len(shape) == 2 else 3)
    network = nn.Sequential(nn.Linear(4, 5), norm, nn.ReLU(), nn.Linear(5, 3)).double().train()
    inputs = torch.randn(*shape).double()
    weights = torch.randn(*shape[:-1], 3).double()
    (network(inputs) * weights).sum().backward()
    expected = network[0].weight.grad[[1, 4]].clone()
    with target_neurons(network, {"0": [1, 4]}, statistics="updated") as targeted:
        (network(inputs) * weights).sum().backward()
        torch.testing.assert_close(next(targeted.parameters()).grad, expected, rtol=1e-8, atol=1e-8)
        kept = network[3].forward.__self__._needed
        assert [needed.columns.tolist() for _, needed in kept.values()] == ([[1, 4]] if len(shape) == 2 else [])


def test_flattened_and_pooled_channels_keep_their_columns():
    """conv -> pool -> flatten -> linear: the linear layer is asked for the active channels' columns alone."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 3))
    with target_neurons(network, {"0": [2, 5]}):
        network(torch.randn(2, 1, 8, 8)).sum().backward()
        (needed,) = [kept for _, kept in network[4].forward.__self__._needed.values()]
        assert needed.columns.tolist() == [*range(18, 27), *range(45, 54)]


@pytest.mark.parametrize("depth", [3, 5])
@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 1.0])
def test_flops_are_those_of_the_formula(depth, share):
    """Dense 2 sum(m) + sum(m above the first); targeted sum(m) + sum(f m) + f m_2 + sum(m above the second)."""
    width, batch = 40, 8
    widths = [20, *[width] * (depth - 1), 10]
    network = mlp(widths)
    inputs = torch.randn(batch, 20)
    m = [before * after for before, after in itertools.pairwise(widths)]

    def flops() -> int:
        with FlopCounterMode(display=False) as counter:
            network(inputs).sum().backward()
        return counter.get_total_flops() // (2 * batch)

    assert flops() == 2 * sum(m) + sum(m[1:])
    active = round(share * width)
    neurons = {str(2 * place): range(active) for place in range(depth - 1)} | {str(2 * depth - 2): range(10)}
    with target_neurons(network, neurons):
        trained = sum(share * own for own in m[:-1]) + m[-1]
        assert flops() == sum(m) + trained + share * m[1] + sum(m[2:])
    with target_neurons(network, {str(2 * depth - 4): range(active)}):
        assert flops() == sum(m) + share * m[-2] + share * m[-1]


def test_kept_gradients_and_optimizer_state_are_proportional():
    network = mlp([64, 64, 64, 64])
    sizes = []
    for active in (64, 32, 16, 4):
        with target_neurons(network, {"0": range(active), "2": range(active), "4": range(active)}) as targeted:
            optimizer = torch.optim.AdamW(targeted.parameters(), fused=True)
            network(torch.randn(8, 64)).sum().backward()
            optimizer.step()
            moments = [value for own in optimizer.state.values() for value in own.values() if value.dim()]
            gradients = [leaf.grad for leaf in targeted.parameters()]
            sizes.append(sum(tensor.nbytes for tensor in moments + gradients))
            assert sum(len(own) for own in optimizer.state.values()) == 3 * 6
    assert sizes == [active * 3 * 65 * 4 * 3 for active in (64, 32, 16, 4)]


def test_columns_shrink_what_is_kept_for_backward():
    network = mlp([64, 64, 64])
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        if tensor.shape[0] == 8:
            kept.append(tensor.shape[1])
        return tensor

    with target_neurons(network, {"0": [1, 5]}, columns={"0": [3, 4, 60]}), \
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):  # fmt: skip
        network(torch.randn(8, 64))
    assert kept == [3, 64]  # three inputs of the layer, and what the ReLU keeps
