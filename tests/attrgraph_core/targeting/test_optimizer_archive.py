"""Every neuron has the optimizer it would have had without the stages in which it stood still."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.optimizer_archive import OptimizerArchive
from attrgraph_core.targeting.target_neurons import target_neurons
from tests.attrgraph_core.targeting.networks import Words, mlp, neuron_counts

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.01, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.05),
}


def network_and_inputs(kind: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    if kind == "words":
        return Words(2, True, False), torch.randint(1, 7, (6, 5))
    return mlp([5, 6, 6, 3]), torch.randn(6, 5)


def steps(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), torch.arange(6) % 3).backward()
        optimizer.step()


def all_neurons(network: nn.Module) -> dict[str, range]:
    return {name: range(count) for name, count in neuron_counts(network).items()}


@pytest.mark.parametrize("kind", ["mlp", "words"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("chosen", ["all", "some", "whole network"])
def test_two_stages_with_one_set_are_one_stage_bit_for_bit(tmp_path, name, kind, chosen):
    states = []
    for lengths in ((6,), (2, 4)):
        network, inputs = network_and_inputs(kind)
        neurons = {
            "all": all_neurons(network), "some": {n: range(0, c, 2) for n, c in neuron_counts(network).items()},
        }.get(chosen)  # fmt: skip
        OptimizerArchive().save(tmp_path / "archive.safetensors")
        for length in lengths:
            archive = OptimizerArchive.load(tmp_path / "archive.safetensors")
            if neurons is None:
                optimizer = OPTIMIZERS[name](network.parameters())
                archive.restore(network, optimizer)
                steps(network, optimizer, inputs, length)
                archive.keep(network, optimizer)
            else:
                with target_neurons(network, neurons, archive=archive) as targeted:
                    optimizer = OPTIMIZERS[name](targeted.parameters())
                    archive.restore(targeted, optimizer)
                    steps(network, optimizer, inputs, length)
                    archive.keep(targeted, optimizer)
            archive.save(tmp_path / "archive.safetensors")
        states.append(network.state_dict())
    assert all(torch.equal(value, states[1][entry]) for entry, value in states[0].items())


def test_neurons_of_different_histories_keep_their_own_counts(tmp_path):
    """Rows of one linear layer learn apart, so each must end where a layer with that row alone ends."""
    inputs, wanted = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(4, 4)
    torch.manual_seed(0)
    layer = nn.Linear(3, 4)
    first = {name: value.clone() for name, value in layer.state_dict().items()}

    def train(module: nn.Module, optimizer: torch.optim.Optimizer, rows: slice) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            (module(inputs) - wanted[:, rows]).square().sum().backward()
            optimizer.step()

    archive = OptimizerArchive()
    for chosen in ([0, 1, 2], [1, 3], [0, 1, 2, 3]):
        with target_neurons(layer, {"": chosen}, archive=archive) as targeted:
            optimizer = OPTIMIZERS["adamw"](targeted.parameters())
            archive.restore(targeted, optimizer)
            train(layer, optimizer, slice(None))
            archive.keep(targeted, optimizer)
        archive.save(tmp_path / "archive.safetensors")
        archive = OptimizerArchive.load(tmp_path / "archive.safetensors")
    assert [name for name, _ in targeted.named_parameters()] == ["weight", "weight@1", "bias", "bias@1"]
    for row, rounds in enumerate((2, 3, 2, 2)):
        alone = nn.Linear(3, 1)
        alone.load_state_dict({name: value[row : row + 1] for name, value in first.items()})
        optimizer = OPTIMIZERS["adamw"](alone.parameters())
        for _ in range(rounds):
            train(alone, optimizer, slice(row, row + 1))
        torch.testing.assert_close(layer.weight[row], alone.weight[0], rtol=1e-5, atol=1e-6)


def test_a_mixed_set_without_groups_is_refused():
    network, inputs = network_and_inputs("mlp")
    archive = OptimizerArchive()
    with target_neurons(network, {"0": [0, 1]}) as targeted:
        optimizer = OPTIMIZERS["adamw"](targeted.parameters())
        steps(network, optimizer, inputs, 1)
        archive.keep(targeted, optimizer)
    with (
        pytest.raises(AttrGraphError, match="different numbers of steps"),
        target_neurons(network, {"0": [1, 2]}) as targeted,
    ):
        archive.restore(targeted, OPTIMIZERS["adamw"](targeted.parameters()))
    with pytest.raises(AttrGraphError, match="different numbers of steps"):
        archive.restore(network, OPTIMIZERS["adamw"](network.parameters()))
    assert archive.groups("0", [0, 1, 2]) == [[2], [0, 1]] or archive.groups("0", [0, 1, 2]) == [[0, 1], [2]]


def test_another_optimizer_begins_anew():
    network, inputs = network_and_inputs("mlp")
    archive = OptimizerArchive()
    optimizer = OPTIMIZERS["adamw"](network.parameters())
    steps(network, optimizer, inputs, 1)
    archive.keep(network, optimizer)
    assert archive.restore(network, OPTIMIZERS["sgd"](network.parameters())) == 0
    assert archive.restore(network, OPTIMIZERS["adamw"](network.parameters())) == 6


def test_state_that_no_neuron_owns_is_refused():
    network, inputs = network_and_inputs("mlp")
    optimizer = torch.optim.Adafactor(network.parameters())
    steps(network, optimizer, inputs, 1)
    with pytest.raises(
        AttrGraphError, match=r"state '.*' that the optimizer keeps of '0\.weight' belongs to no neuron"
    ):
        OptimizerArchive().keep(network, optimizer)
    with target_neurons(network, {"0": [0]}, columns={"0": [1]}) as targeted:
        optimizer = OPTIMIZERS["adamw"](targeted.parameters())
        steps(network, optimizer, inputs, 1)
        with pytest.raises(AttrGraphError, match=r"only some columns of '0\.weight' train"):
            OptimizerArchive().keep(targeted, optimizer)


def test_a_damaged_file_is_named(tmp_path: Path):
    path = tmp_path / "archive.safetensors"
    with pytest.raises(AttrGraphError, match="cannot read the weights"):
        OptimizerArchive.load(path)
    path.write_bytes(b"half")
    with pytest.raises(AttrGraphError, match="is damaged"):
        OptimizerArchive.load(path)
