"""What each method costs on this machine, beside a training step of the same batch."""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.attribution.ablation import ablate_edges
from attrgraph_core.attribution.attribute import result_of
from attrgraph_core.attribution.depara import deep_attribution_graph
from attrgraph_core.attribution.factors import Batch
from attrgraph_core.attribution.graph_sums import Sums
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.method import Method
from attrgraph_core.attribution.methods import attribution_method
from attrgraph_core.attribution.properties import ANALYSES, PROPERTIES
from attrgraph_core.attribution.structure import NetworkStructure
from attrgraph_core.attribution.summit import top_influence_counts
from attrgraph_core.attribution.target import Logits

SAMPLES, BACKGROUNDS, ABLATIONS = 128, 8, 64
A_SAMPLE_AT_A_TIME = ("kernel_shap", "lime", "ace")


def measure_costs(names: Iterable[str] | None = None, rounds: int = 3, seed: int = 0) -> dict[str, float]:
    """Seconds of each method over those of a training step (forward, loss, backward) of the same batch; medians.

    An MLP 256-512-512-10 and 128 samples, method and step in turn; all edges, signed and absolute, of a method that
    makes them; a background is 8 samples. A method that needs more than a moment for them is measured on as many
    samples as it takes at once, `kernel_shap`, `lime` and `ace` on one, once, and its time is scaled; ablation is
    measured on 64 edges and scaled to all. Random state and network are left as they were.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        inputs, labels = torch.randn(SAMPLES, 256), torch.arange(SAMPLES) % 10
    structure = network_structure(network.eval(), inputs)
    costs: dict[str, float] = {}
    for name in [row.name for row in (*PROPERTIES, *ANALYSES)] if names is None else names:
        slow, scale = name in A_SAMPLE_AT_A_TIME, 1.0
        if name in {row.name for row in ANALYSES}:
            own, scale = _analysis(name, network, inputs, labels)
        else:
            method = attribution_method(name)
            count = _samples_at_once(structure, name, method)
            own, scale = _run_of(structure, method, _batch(name, inputs, labels, count)), SAMPLES / count
        ratios = []
        for number in range(2 if slow else rounds + 1):
            step = _seconds(lambda: _step(network, inputs, labels))
            ratio = _seconds(own) * scale / step
            ratios += [ratio] if number else []  # the first warms up
        costs[name] = statistics.median(ratios)
    return costs


def _analysis(name: str, network: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Callable[[], Any], float]:
    """An analysis to time, and how many such make the whole."""
    if name == "summit":
        return lambda: top_influence_counts(network, [(inputs, labels)]), 1.0
    if name == "depara":
        return lambda: deep_attribution_graph(network, inputs), 1.0
    edges = [("input", index, "0", 0) for index in range(ABLATIONS)]
    edge_count = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Linear))
    return lambda: ablate_edges(network, inputs, labels, edges), edge_count / ABLATIONS


def _samples_at_once(structure: NetworkStructure, name: str, method: Method) -> int:
    if name in A_SAMPLE_AT_A_TIME:
        return 1
    return method.samples_at_once(structure, _background_count(name), SAMPLES)


def _background_count(name: str) -> int:
    return BACKGROUNDS if any(row.name == name and row.needs_background for row in PROPERTIES) else 1


def _batch(name: str, inputs: Tensor, labels: Tensor, count: int) -> Batch:
    backgrounds = _background_count(name)
    baselines = inputs[:backgrounds] if backgrounds > 1 else torch.zeros_like(inputs[:1])
    return Batch(inputs[:count], Logits(labels[:count]), baselines)


def _run_of(structure: NetworkStructure, method: Method, batch: Batch) -> Callable[[], None]:
    def run() -> None:
        found, new_sums = result_of(method, structure, batch)
        sums: Any = new_sums()
        with torch.no_grad():
            sums.add(structure, found, True)
            if new_sums is Sums:
                assert sums.edges  # nothing waits any more

    return run


def _step(network: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    functional.cross_entropy(network(inputs), labels).backward()
    network.zero_grad(set_to_none=True)


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
