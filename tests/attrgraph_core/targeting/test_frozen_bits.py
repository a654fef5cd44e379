"""What is frozen keeps its bits, whatever the loop around does."""

import os
import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.target_neurons import target_neurons
from tests.attrgraph_core.targeting.networks import Residual, Words, mlp, rows_of

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "adamw foreach": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1, foreach=True),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1, fused=True),
}
IMAGES = {"stem": [1, 4], "norm": [0], "inner": [5], "down": [0, 1, 2, 3, 4, 5], "side": [2], "output": [0, 1, 2]}
WORDS = {"embed": [3, 6], "attention": [1], "attention.out_proj": [0, 7], "norm": [2], "output": [1]}


def moved_rows(network: nn.Module, before: dict[str, Tensor], neurons: dict[str, list[int]]) -> dict[str, list[int]]:
    """By parameter, what of it differs in any bit."""
    moved = {}
    for name, value in network.state_dict().items():
        differs = (value != before[name]).reshape(value.shape or (1,))
        dim, _ = rows_of(network, name, neurons)
        across = [other for other in range(differs.dim()) if other != dim]
        moved[name] = (
            differs.any(dim=across).nonzero().flatten().tolist() if across else differs.nonzero().flatten().tolist()
        )
    return moved


def expected_rows(network: nn.Module, neurons: dict[str, list[int]]) -> dict[str, list[int]]:
    parameters = dict(network.named_parameters())
    return {
        name: sorted(rows_of(network, name, neurons)[1]) if name in parameters else [] for name in network.state_dict()
    }


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
def test_a_busy_loop_moves_nothing_but_the_neurons(optimizer_name, precision):
    torch.manual_seed(0)
    network, inputs = Residual(2, 1, 1, 2), torch.randn(12, 2, 6, 6)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with target_neurons(network, IMAGES) as targeted:
        optimizer = OPTIMIZERS[optimizer_name](targeted.parameters())
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
        for _ in range(4):
            network.train()
            optimizer.zero_grad()
            for part in inputs.split(4):  # accumulated
                with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                    functional.cross_entropy(network(part), torch.arange(4) % 3).backward()
            nn.utils.clip_grad_norm_(targeted.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():  # the model itself is up to date after every step
                assert torch.equal(network.stem.weight[[1, 4]], dict(targeted.named_parameters())["stem.weight"])
    assert moved_rows(network, before, IMAGES) == expected_rows(network, IMAGES)


def test_words_keep_their_bits():
    torch.manual_seed(0)
    network, words = Words(2, True, False), torch.arange(1, 25).reshape(4, 6) % 7
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with target_neurons(network, WORDS) as targeted:
        optimizer = torch.optim.AdamW(targeted.parameters(), lr=0.1, weight_decay=0.1, fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            network(words).square().sum().backward()
            optimizer.step()
    moved = moved_rows(network, before, WORDS)
    # A bias of keys shifts all scores of a query alike: its gradient is zero but for rounding.
    for name, rows in expected_rows(network, WORDS).items():
        assert set(moved[name]) <= set(rows), name
        assert moved[name] == rows or name.endswith("in_proj_bias"), name


def test_autocast_matches_dense_autocast():
    torch.manual_seed(0)
    network, inputs = mlp([8, 16, 16, 3]), torch.randn(6, 8)
    with torch.autocast("cpu", torch.bfloat16):
        network(inputs).sum().backward()
    expected = network[2].weight.grad[[3, 9]].clone()
    network.zero_grad()
    with target_neurons(network, {"2": [3, 9]}) as targeted:
        with torch.autocast("cpu", torch.bfloat16):
            network(inputs).sum().backward()
        weight = next(targeted.parameters())
        assert weight.dtype == weight.grad.dtype == torch.float32
        torch.testing.assert_close(weight.grad, expected, rtol=2e-2, atol=2e-2)


def test_a_transformer_layer_trains_in_evaluation_mode_too():
    """Its fast path would call none of its layers, and leave nothing to differentiate."""
    torch.manual_seed(0)
    network = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    with target_neurons(network, {"linear1": [3], "self_attn": [0]}) as targeted:
        network(torch.randn(2, 5, 8)).sum().backward()
        assert all(leaf.grad is not None for leaf in targeted.parameters())
    assert torch.backends.mha.get_fastpath_enabled() == was_enabled


def test_a_hand_written_update_is_seen():
    network, inputs = mlp([4, 5, 3]), torch.randn(2, 4)
    with target_neurons(network, {"0": [1]}) as targeted:
        with torch.no_grad():
            for leaf in targeted.parameters():
                leaf.fill_(2.0)
        network(inputs)
        assert network[0].weight[1].tolist() == [2.0] * 4
        for leaf in targeted.parameters():
            leaf.data.fill_(3.0)
        targeted.write_back()
        assert network[0].weight[1].tolist() == [3.0] * 4


def test_loading_a_state_goes_on_from_it():
    network, other, twin = mlp([4, 5, 3]), mlp([4, 5, 3]), mlp([4, 5, 3])
    first = {name: value.clone() for name, value in network.state_dict().items()}
    twin.load_state_dict(first)
    with target_neurons(network, {"0": [1]}) as targeted:
        targeted.load_state_dict(other.state_dict())
        assert torch.equal(next(targeted.parameters())[0], other[0].weight[1])
        network(torch.randn(2, 4)).sum().backward()  # the layer above keeps columns of its weight
        network.load_state_dict(first)
        inputs = torch.randn(2, 4)
        targeted.zero_grad()
        network(inputs).square().sum().backward()
        gradient = next(targeted.parameters()).grad[0]
        with pytest.raises(AttrGraphError, match="assign=True"):
            targeted.load_state_dict(other.state_dict(), assign=True)
    assert all(torch.equal(value, first[name]) for name, value in network.state_dict().items())
    twin(inputs).square().sum().backward()
    torch.testing.assert_close(gradient, twin[0].weight.grad[1])


@pytest.mark.parametrize(
    ("make", "neurons", "columns", "message"),
    [
        (lambda: nn.LSTM(3, 3), {"": [0]}, None, "layer '' is a LSTM; neurons can be trained of Linear"),
        (lambda: nn.ConvTranspose2d(3, 3, 2), {"": [0]}, None, "is a ConvTranspose2d"),
        (lambda: nn.Embedding(3, 4, max_norm=1.0), {"": [0]}, None, "rescales its own table"),
        (lambda: nn.Embedding(3, 4, sparse=True), {"": [0]}, None, "sparse gradients"),
        (lambda: nn.MultiheadAttention(4, 2, kdim=3), {"": [0]}, None, "of another width"),
        (lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True), {"": [0]}, None, "add_bias_kv"),
        (lambda: nn.MultiheadAttention(4, 2), {"": [2]}, None, "has neurons 0 to 1, no neuron 2"),
        (lambda: nn.BatchNorm1d(3, affine=False), {"": [0]}, None, "no parameters of its own"),
        (lambda: nn.LayerNorm((3, 3)), {"": [0]}, None, "several dimensions"),
        (lambda: nn.Linear(3, 3), {"": [0]}, {"": [3]}, "has columns 0 to 2, no column 3"),
        (lambda: nn.Linear(3, 3), {"": [0]}, {"": []}, "named without a column"),
        (lambda: nn.Conv1d(4, 4, 1, groups=2), {"": [0]}, {"": [0]}, "columns cannot be chosen of layer ''"),
        (lambda: mlp([3, 3, 3]), {"0": [0]}, {"2": [0]}, "none of whose neurons train"),
    ],
)
def test_refuses_by_name(make, neurons, columns, message):
    with pytest.raises(AttrGraphError) as caught, target_neurons(make(), neurons, columns=columns):
        pass
    assert message in str(caught.value)


def test_refuses_unknown_statistics():
    with pytest.raises(AttrGraphError, match="statistics is 'moving'"), \
            target_neurons(nn.Linear(2, 2), {"": [0]}, statistics="moving"):  # fmt: skip
        pass


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile's CPU code needs a C++ compiler")
@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param(
            "inductor",
            marks=pytest.mark.skipif(
                "ATTRGRAPH_TEST_INDUCTOR" not in os.environ, reason="compiles C++: set ATTRGRAPH_TEST_INDUCTOR=1"
            ),
        ),
    ],
)
def test_compiled_steps_are_those_of_the_eager_model(backend):
    results = []
    for compiled in (False, True):
        torch.manual_seed(0)
        network, inputs = mlp([6, 8, 7, 3]), torch.randn(5, 6)
        with target_neurons(network, {"0": [1, 5], "2": [0, 6], "4": [0, 1, 2]}) as targeted:
            run = torch.compile(network, backend=backend) if compiled else network
            optimizer = torch.optim.AdamW(targeted.parameters(), lr=0.1, fused=True)
            for _ in range(3):
                optimizer.zero_grad()
                functional.cross_entropy(run(inputs), torch.arange(5) % 3).backward()
                optimizer.step()
        results.append(network.state_dict())
    torch.compiler.reset()
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


def _worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    # They meet at a file: a port that was free may be taken by the time both have started.
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(0)
    network, inputs = mlp([6, 8, 7, 3]), torch.randn(8, 6)
    with target_neurons(network, {"0": [1, 5], "4": [0, 1, 2]}) as targeted:
        parallel = DistributedDataParallel(targeted)
        optimizer = torch.optim.AdamW(targeted.parameters(), lr=0.1, fused=True)
        own = slice(4 * rank, 4 * rank + 4)
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(parallel(inputs[own]), (torch.arange(8) % 3)[own]).backward()
            optimizer.step()
        torch.save(parallel.module.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_take_the_steps_of_one(tmp_path):
    torch.multiprocessing.spawn(_worker, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    torch.manual_seed(0)
    network, inputs = mlp([6, 8, 7, 3]), torch.randn(8, 6)
    with target_neurons(network, {"0": [1, 5], "4": [0, 1, 2]}) as targeted:
        optimizer = torch.optim.AdamW(targeted.parameters(), lr=0.1, fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs), torch.arange(8) % 3).backward()
            optimizer.step()
    assert list(first) == list(network.state_dict())
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    torch.testing.assert_close(first, dict(network.state_dict()), rtol=1e-4, atol=1e-5)
