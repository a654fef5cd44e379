"""Networks whose circuit is known by construction, to see which methods and queries find it.

Each has inputs of 0 and 1, one score, and edges of which some do the work and the others only look as if. Distractors
are units that read random inputs: `idle` ones have no weight to the score, `cancelling` ones come in pairs whose
weights to the score are opposite, so that together they do nothing for any input, though each of their edges carries
something.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.circuits.circuit import Edge

INPUTS = 6
HIDDEN, OUTPUT = "hidden", "output"


@dataclass(frozen=True, eq=False)
class KnownCircuit:
    """`edges` are those of the circuit, of the `asked` ones: all of the network, or those that can be known."""

    name: str
    network: nn.Module
    inputs: Tensor
    edges: frozenset[Edge]
    asked: frozenset[Edge]
    target: int = 0


def _network(first: Tensor, bias: Tensor, second: Tensor) -> nn.Module:
    network = nn.Sequential()
    network.add_module(HIDDEN, nn.Linear(first.shape[1], first.shape[0]))
    network.add_module("relu", nn.ReLU())
    network.add_module(OUTPUT, nn.Linear(second.shape[1], second.shape[0]))
    for layer, weight, own_bias in ((HIDDEN, first, bias), (OUTPUT, second, torch.zeros(second.shape[0]))):
        module = network.get_submodule(layer)
        module.weight.data, module.bias.data = weight.double(), own_bias.double()
    return network


def _edges(first: Tensor, second: Tensor) -> frozenset[Edge]:
    """All edges of the two layers whose weight is not 0."""
    own: set[Edge] = {("input", int(i), HIDDEN, int(j)) for j, i in first.nonzero().tolist()}
    return frozenset(own | {(HIDDEN, int(i), OUTPUT, int(j)) for j, i in second.nonzero().tolist()})


def _all_inputs(count: int = INPUTS) -> Tensor:
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * count).double()


def gate(name: str, rows: list[list[float]], bias: list[float], out: list[float]) -> KnownCircuit:
    """A gate of x0 and x1 in the first units, four idle units, and two cancelling pairs, all of random weights."""
    generator = torch.Generator().manual_seed(0)
    count = len(rows)
    own = torch.zeros(count, INPUTS)
    own[:, :2] = torch.tensor(rows)
    idle = torch.randn(4, INPUTS, generator=generator)
    pair = torch.randn(2, INPUTS, generator=generator)
    first = torch.cat([own, idle, pair, pair])
    weights = torch.cat([torch.tensor(out), torch.zeros(4), torch.tensor([0.7, -0.9, -0.7, 0.9])]).unsqueeze(0)
    biases = torch.cat([torch.tensor(bias), torch.zeros(8)])
    circuit = _edges(own, torch.tensor([out]))
    everything = {("input", i, HIDDEN, j) for i in range(INPUTS) for j in range(len(first))}
    everything |= {(HIDDEN, j, OUTPUT, 0) for j in range(len(first))}
    return KnownCircuit(name, _network(first, biases, weights), _all_inputs(), circuit, frozenset(everything))


def and_gate() -> KnownCircuit:
    """relu(x0 + x1 - 1)."""
    return gate("and", [[1, 1]], [-1], [1])


def or_gate() -> KnownCircuit:
    """1 - relu(1 - x0 - x1) where both are 1: neither alone makes a difference, both together do."""
    known = gate("or", [[-1, -1]], [1], [-1])
    both = known.inputs[(known.inputs[:, 0] == 1) & (known.inputs[:, 1] == 1)]
    return replace(known, inputs=both)


def xor_gate() -> KnownCircuit:
    """x0 + x1 - 2 relu(x0 + x1 - 1)."""
    return gate("xor", [[1, 1], [1, 1]], [0, -1], [1, -2])


def backup() -> KnownCircuit:
    """-relu(1 - h0 - h1), h0 and h1 both x0, which is 1: each path stands in for the other. Six idle units beside."""
    generator = torch.Generator().manual_seed(0)
    first, middle = torch.randn(8, INPUTS, generator=generator), torch.zeros(3, 8)
    first[:2] = 0
    first[:2, 0] = 1
    middle[1:, 2:] = torch.randn(2, 6, generator=generator)  # what they do ends in units of no weight
    middle[0, :2] = -1
    network = nn.Sequential()
    network.add_module(HIDDEN, nn.Linear(INPUTS, 8))
    network.add_module("relu", nn.ReLU())
    network.add_module("gate", nn.Linear(8, 3))
    network.add_module("relu_2", nn.ReLU())
    network.add_module(OUTPUT, nn.Linear(3, 1))
    last = torch.tensor([[-1.0, 0.6, -0.6]])  # of two units that read the same, and cancel
    middle[2] = middle[1]
    biases = (torch.zeros(8), torch.tensor([1.0, 0, 0]), torch.zeros(1))
    for layer, weight, bias in zip((HIDDEN, "gate", OUTPUT), (first, middle, last), biases, strict=True):
        module = network.get_submodule(layer)
        module.weight.data, module.bias.data = weight.double(), bias.double()
    circuit = {("input", 0, HIDDEN, 0), ("input", 0, HIDDEN, 1), (HIDDEN, 0, "gate", 0), (HIDDEN, 1, "gate", 0)}
    everything = {("input", i, HIDDEN, j) for i in range(INPUTS) for j in range(8)}
    everything |= {(HIDDEN, i, "gate", j) for i in range(8) for j in range(3)}
    everything |= {("gate", i, OUTPUT, 0) for i in range(3)}
    inputs = _all_inputs()
    return KnownCircuit(
        "backup", network, inputs[inputs[:, 0] == 1], frozenset(circuit | {("gate", 0, OUTPUT, 0)}),
        frozenset(everything),
    )  # fmt: skip


def hand_built() -> KnownCircuit:
    """2 relu(x0 - x1) + 3 relu(x2): two circuits side by side."""
    return gate_of_three("hand-built", [[1, -1, 0], [0, 0, 1]], [0, 0], [2, 3])


def gate_of_three(name: str, rows: list[list[float]], bias: list[float], out: list[float]) -> KnownCircuit:
    known = gate(name, [row[:2] for row in rows], bias, out)
    hidden = known.network.get_submodule(HIDDEN)
    hidden.weight.data[: len(rows), 2] = torch.tensor([row[2] for row in rows]).double()
    own = torch.zeros(len(rows), INPUTS)
    own[:, :3] = torch.tensor(rows)
    return KnownCircuit(name, known.network, known.inputs, _edges(own, torch.tensor([out])), known.asked)


def planted() -> KnownCircuit:
    """A subnetwork of three inputs and three units in a random network whose weights to the score are a hundredth."""
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(24, INPUTS, generator=generator)
    first[:3, :3], first[:3, 3:] = first[:3, :3].abs(), 0
    second = torch.cat([torch.tensor([1.0, -1.0, 1.0]), torch.randn(21, generator=generator) / 100]).unsqueeze(0)
    return _planted("planted", first, second)


def cancelling() -> KnownCircuit:
    """The same where the rest is ten pairs of equal units of strong, opposite weights: it does nothing."""
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(23, INPUTS, generator=generator)
    first[:3, :3], first[:3, 3:] = first[:3, :3].abs(), 0
    first[3:13] = first[3:13].abs()
    first[13:] = first[3:13]
    strong = torch.rand(10, generator=generator) + 1
    second = torch.cat([torch.tensor([1.0, -1.0, 1.0]), strong, -strong]).unsqueeze(0)
    return _planted("cancelling", first, second)


def _planted(name: str, first: Tensor, second: Tensor) -> KnownCircuit:
    circuit = {("input", i, HIDDEN, j) for i in range(3) for j in range(3)} | {(HIDDEN, j, OUTPUT, 0) for j in range(3)}
    everything = {("input", i, HIDDEN, j) for i in range(INPUTS) for j in range(len(first))}
    everything |= {(HIDDEN, j, OUTPUT, 0) for j in range(len(first))}
    network = _network(first, torch.zeros(len(first)), second)
    return KnownCircuit(name, network, _all_inputs(), frozenset(circuit), frozenset(everything))


def parity(steps: int = 600) -> KnownCircuit:
    """A network trained to tell whether x0 + x1 + x2 is odd: of the first edges, those of other inputs do nothing."""
    inputs = _all_inputs()
    labels = inputs[:, :3].sum(dim=1).long() % 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _network(torch.randn(16, INPUTS) * 0.5, torch.zeros(16), torch.randn(2, 16) * 0.5)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02, weight_decay=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    asked = {("input", i, HIDDEN, j) for i in range(INPUTS) for j in range(16)}
    circuit = frozenset(edge for edge in asked if edge[1] < 3)
    return KnownCircuit("parity", network, inputs, circuit, frozenset(asked), target=1)


KNOWN_CIRCUITS: dict[str, Callable[[], KnownCircuit]] = {
    "and": and_gate, "or": or_gate, "xor": xor_gate, "backup": backup, "hand-built": hand_built, "planted": planted,
    "cancelling": cancelling, "parity": parity,
}  # fmt: skip
