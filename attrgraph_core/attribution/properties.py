"""What each method needs, keeps and costs: one row a method, and what is claimed of it beside what we measure.

`strengths`, `weaknesses`, `cost_class` and `interpretability` are the claims of the literature, those that a research
proposal would rest on; the measured cost is `measure_costs`.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.attribution.factors import Batch
from attrgraph_core.attribution.graph_sums import Sums
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.methods import attribution_method
from attrgraph_core.attribution.target import Logits


@dataclass(frozen=True)
class MethodProperties:
    """One method. `passes` are forward and backward passes a sample, in words."""

    name: str
    makes: str
    needs: str
    conserves: str
    passes: str
    strengths: str
    weaknesses: str
    cost_class: str
    interpretability: str


PROPERTIES: tuple[MethodProperties, ...] = (
    MethodProperties(
        "deeplift", "neurons and edges", "a baseline", "score less baseline's, at every layer; context held",
        "1 + 1 a batch", "complete, no saturation", "depends on the baseline; attention and statistics held", "low",
        "high",
    ),
    MethodProperties(
        "gradient_times_activation", "neurons and edges", "nothing", "score, with biases, in piecewise linear networks",
        "1", "cheapest; the weight's own gradient", "saturates; noisy; incomplete on smooth networks", "lowest",
        "medium",
    ),
    MethodProperties(
        "conductance", "neurons and edges", "a baseline, steps", "score less baseline's, up to the steps' error",
        "steps + 1", "axiomatic; goes through attention and statistics", "many passes; depends on the baseline",
        "high", "high",
    ),
    MethodProperties(
        "lrp_epsilon", "neurons and edges", "nothing", "score, with what biases and stabiliser keep", "1",
        "conserves by a ledger", "is gradient x activation on ReLU networks; context held", "low", "medium",
    ),
    MethodProperties(
        "lrp_gamma", "neurons and edges", "nothing", "score, with what biases and stabiliser keep",
        "1, four products a layer", "less noise: favours what agrees",
        "gamma is a choice; moves relevance, does not measure effects", "low", "high",
    ),
    MethodProperties(
        "lrp_composite", "neurons and edges", "rules by layer", "score, with what biases and stabiliser keep",
        "1, four products a convolution", "a rule for each kind of layer", "rules are choices", "low", "high",
    ),
    MethodProperties(
        "deepshap", "neurons and edges", "a background set", "score less the background's mean; context held",
        "backgrounds + 1 a batch", "no single baseline to choose", "grows with the background", "medium", "high",
    ),
    MethodProperties(
        "expected_gradients", "neurons and edges", "a background set, steps",
        "score less the background's mean, up to the steps' error", "backgrounds x (steps + 1)",
        "no single baseline to choose; axiomatic", "the dearest of those that make edges", "very high", "high",
    ),
)  # fmt: skip


def measure_costs(names: Iterable[str] | None = None, rounds: int = 3, seed: int = 0) -> dict[str, float]:
    """Seconds of each method over those of a training step (forward, loss, backward) of the same batch; medians.

    All edges of all layers, signed and absolute, of an MLP 256-512-512-10 and 128 samples, method and step in turn; a
    background is 8 samples. Random state and network are left as they were.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        inputs, labels = torch.randn(128, 256), torch.arange(128) % 10
    structure = network_structure(network.eval(), inputs)
    costs: dict[str, float] = {}
    for name in names or [row.name for row in PROPERTIES]:
        method = attribution_method(name)
        baselines = inputs[:8] if name in ("deepshap", "expected_gradients") else torch.zeros_like(inputs[:1])
        # As many samples at once as `attribute` takes, scaled to the batch.
        count = min(len(inputs), method.samples_at_once(structure, len(baselines)) or len(inputs))
        batch = Batch(inputs[:count], Logits(labels[:count]), baselines)
        ratios = []
        for number in range(rounds + 1):
            step = _seconds(lambda: _step(network, inputs, labels))
            own = _seconds(lambda: Sums().add(structure, method.factors(structure, batch), True))  # noqa: B023
            ratios += [own * len(inputs) / count / step] if number else []  # the first warms up
        costs[name] = statistics.median(ratios)
    return costs


def _step(network: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    functional.cross_entropy(network(inputs), labels).backward()
    network.zero_grad(set_to_none=True)


def _seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
