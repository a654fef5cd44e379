"""What attribution costs beside a training step of the same batch, and beside what a user has without it.

    python benchmarks/attribution.py [--rounds 5] [--threads 1] [--json FILE]

All is measured in one process and interleaved: a round runs every contender once, a ratio is that of a round, and the
median over rounds is printed with its spread (lowest and highest). Seconds are those of the processor on a CPU, of the
clock on a GPU. A training step is forward, loss and backward, without the optimizer. `signed` are edges whose absolute
value is that of their mean, `and absolute` adds the mean of absolute values over samples. zennit-crp is a peer where it
is installed (`pip install --no-deps zennit-crp`). Memory is the peak of processes of their own, less what the libraries
take.
"""

import argparse
import copy
import importlib.util
import itertools
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from captum.attr import NeuronConductance
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core import EdgeLimits, attribute, attribute_dataset
from attrgraph_core.attribution.baseline import make_baseline
from attrgraph_core.attribution.conductance import Conductance
from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.factors import Batch
from attrgraph_core.attribution.graph_sums import Sums
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.methods import edge_method
from attrgraph_core.attribution.target import Logits

STEPS = 8
METHODS = ("gradient_times_activation", "deeplift", "lrp_epsilon", f"conductance, {STEPS} steps")


def mlp() -> tuple[nn.Module, Tensor]:
    widths = (784, 1024, 1024, 10)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1]), torch.randn(256, 784)


def cnn() -> tuple[nn.Module, Tensor]:
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.ReLU(),
        nn.Conv2d(64, 128, 3, padding=1, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(128, 10),
    )  # fmt: skip
    return network, torch.randn(64, 3, 32, 32)


class Encoder(nn.Module):
    """Two transformer layers on sequences of embedded patches."""

    def __init__(self, width: int = 128):
        super().__init__()
        self.embed = nn.Linear(48, width)
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True), 2)
        self.output = nn.Linear(width, 10)

    def forward(self, patches: Tensor) -> Tensor:
        result: Tensor = self.output(self.layers(self.embed(patches)).mean(dim=1))
        return result


def encoder() -> tuple[nn.Module, Tensor]:
    return Encoder(), torch.randn(64, 16, 48)


NETWORKS = {"MLP 784-1024-1024-10, 256 samples": mlp, "CNN 32-64-128 on 32x32, 64 samples": cnn,
            "encoder 2x128 on 16 patches, 64 samples": encoder}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-of", choices=MEMORY, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(peak_memory(MEMORY[arguments.memory_of]))
        return
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    figures: dict[str, dict[str, list[float]]] = {}
    for name, make in NETWORKS.items():
        network, inputs = make()
        network, inputs = network.to(arguments.device), inputs.to(arguments.device)
        figures[name] = beside_a_step(network, inputs, arguments.rounds)
        show(name, figures[name], "x one training forward and backward pass")
    figures["peers"] = beside_peers(arguments.rounds, arguments.device)
    show("peers", figures["peers"], "x our time for the same result")
    figures["memory"] = {name: [measured_apart(name)] for name in MEMORY}
    show("peak memory", figures["memory"], "MiB")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def beside_a_step(network: nn.Module, inputs: Tensor, rounds: int) -> dict[str, list[float]]:
    """Ratios to a training step, a value a round."""
    labels = torch.arange(len(inputs), device=inputs.device) % 10
    contenders: dict[str, Callable[[], object]] = {"training step": lambda: training_step(network, inputs, labels)}
    for name in METHODS:
        for absolute in (False, True):
            what = f"{name}, {'and absolute' if absolute else 'signed'}"
            contenders[what] = edges_of(network, inputs, labels, name, absolute)
    contenders["deeplift, signed, 8 class graphs"] = edges_of(network, inputs, labels, "deeplift", False, 8)
    if inputs.dim() == 4:  # as attribution runs convolutions; the step beside which all are is what a user has
        order = torch.channels_last
        other, own = copy.deepcopy(network).to(memory_format=order), inputs.to(memory_format=order)
        contenders["a training step with channels last"] = lambda: training_step(other, own, labels)
    seconds = interleaved(contenders, rounds)
    steps = seconds.pop("training step")
    return {name: [own / step for own, step in zip(values, steps, strict=True)] for name, values in seconds.items()}


def training_step(network: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    network.zero_grad(set_to_none=True)
    functional.cross_entropy(network(inputs), labels).backward()
    network.zero_grad(set_to_none=True)


def edges_of(
    network: nn.Module, inputs: Tensor, labels: Tensor, name: str, absolute: bool, classes: int = 1
) -> Callable[[], Sums]:
    """All edges of all layers; laying the network out is done once, as for a data set."""
    method = Conductance(STEPS) if name.startswith("conductance") else edge_method(name)
    with evaluation_mode(network):
        structure = network_structure(network, inputs)
    _, baseline = make_baseline("zeros", inputs)
    at_once = method.samples_at_once(structure, 1, len(inputs))
    batches = [
        Batch(part, Logits(own), baseline, absolute)
        for part, own in zip(inputs.split(at_once), labels.split(at_once), strict=True)
    ]

    def run() -> Sums:
        sums = [Sums() for _ in range(classes)]
        for batch in batches:
            size = len(batch.inputs) // classes
            with evaluation_mode(network), torch.enable_grad():
                factors = method.factors(structure, batch)
            with torch.no_grad():
                for number, own in enumerate(sums):
                    own.add(structure, factors, absolute, slice(number * size, (number + 1) * size))
        with torch.no_grad():
            for own in sums:
                assert own.edges  # nothing waits any more
        return sums[0]

    return run


def beside_zennit_crp(rounds: int) -> dict[str, list[float]]:
    """How many times our time zennit-crp takes for the edges between the channels of two convolutions, one sample."""
    if importlib.util.find_spec("crp") is None:
        print("\nzennit-crp is not installed and left out: pip install --no-deps zennit-crp")
        return {}
    warnings.simplefilter("ignore", FutureWarning)
    from crp.attribution import AttributionGraph, CondAttribution
    from crp.concepts import ChannelConcept
    from crp.graph import trace_model_graph
    from zennit.composites import LayerMapComposite, layer_map_base
    from zennit.rules import Epsilon

    network = cnn()[0].eval()
    inputs = torch.randn(1, 3, 32, 32)
    names = ["0", "2"]
    attributor = AttributionGraph(
        CondAttribution(network), trace_model_graph(network, inputs, names), {name: ChannelConcept() for name in names}
    )
    composite = LayerMapComposite([*layer_map_base(1e-6), ((nn.Conv2d, nn.Linear), Epsilon(1e-6))])

    def concept_by_concept() -> Tensor:
        edges = torch.zeros(64, 32)
        for concept in range(64):
            _, found = attributor(
                inputs.clone().requires_grad_(), composite, concept, "2", target=3, width=[32], abs_norm=False,
                verbose=False,
            )  # fmt: skip
            for _, source, relevance in found["2", concept]:
                edges[concept, source] = relevance
        return edges

    ours = edges_of(network, inputs, torch.tensor([3]), "lrp_epsilon", True)
    torch.testing.assert_close(concept_by_concept(), ours().edges["2"][0], rtol=1e-3, atol=1e-6)
    seconds = interleaved({"ours": ours, "crp": concept_by_concept}, rounds)
    ratios = [own / base for own, base in zip(seconds["crp"], seconds["ours"], strict=True)]
    return {"zennit-crp's AttributionGraph, one layer, beside all layers of ours": ratios}


def dense_pair(samples: int = 64, keep: bool = True) -> None:
    network = nn.Sequential(nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10))
    attribute_some(network, torch.randn(samples, 4096), keep)


def resnet18(keep: bool = True) -> None:
    from torchvision.models import resnet18 as make

    attribute_some(make(num_classes=10), torch.randn(16, 3, 64, 64), keep)


def streamed(batches: int) -> None:
    network = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    loader = ((torch.randn(64, 1024), torch.arange(64) % 10) for _ in range(batches))
    attribute_dataset(network, loader, "label", absolute=False, keep=EdgeLimits())


def attribute_some(network: nn.Module, inputs: Tensor, keep: bool) -> None:
    attribute(network, inputs, torch.arange(len(inputs)) % 10, absolute=False, keep=EdgeLimits() if keep else None)


MEMORY: dict[str, Callable[[], None]] = {
    "dense pair 4096-4096, strongest edges": dense_pair,
    "dense pair 4096-4096, all edges as a table": lambda: dense_pair(keep=False),
    "resnet18 on 64x64, strongest edges": resnet18,
    "resnet18 on 64x64, all edges as a table": lambda: resnet18(keep=False),
    "1024-1024-10, 10 batches": lambda: streamed(10),
    "1024-1024-10, 200 batches": lambda: streamed(200),
}


def measured_apart(name: str) -> float:
    """Peak memory of a case in MiB, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def peak_memory(run: Callable[[], None]) -> float:
    """What `run` takes at its peak beside what is there before, in MiB; on Linux."""
    attribute_some(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 10)), torch.randn(10, 8), True)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    run()
    return memory("VmHWM") - before


def memory(figure: str) -> float:
    """A figure of this process in MiB, as the kernel keeps it."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in status if line.startswith(figure)).split()[1]) / 1024


def beside_peers(rounds: int, device: str) -> dict[str, list[float]]:
    """How many times our time others take for the edges into one hidden layer of 256 units."""
    network = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)).to(
        device
    )
    inputs = torch.randn(32, 256, device=device)
    labels = torch.arange(32, device=device) % 10
    ours = edges_of(network, inputs, labels, "gradient_times_activation", False)
    conductance = edges_of(network, inputs, labels, f"conductance, {STEPS} steps", False)

    def captum_loop() -> Tensor:
        """Conductance of 8 of the 256 units of the second layer, unit by unit; the time is scaled to all."""
        attributor = NeuronConductance(network, network[2])
        return torch.stack([
            attributor.attribute(inputs, unit, torch.zeros_like(inputs), target=labels, n_steps=STEPS).sum(dim=0)
            for unit in range(8)
        ])  # fmt: skip

    def jacobians() -> Tensor:
        """Gradient x activation edges into the second layer from a Jacobian a sample by vmap."""
        hidden = network[1](network[0](inputs)).detach()
        jacobian = torch.func.vmap(torch.func.jacrev(network[2]))(hidden)
        above = network[2](hidden).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(network[3:](above).gather(1, labels[:, None]).sum(), above)
        return (jacobian * hidden.unsqueeze(1) * gradient.unsqueeze(2)).sum(dim=0)

    torch.testing.assert_close(jacobians(), ours().edges["2"][0], rtol=1e-3, atol=1e-4)
    seconds = interleaved(
        {"ours": ours, "conductance": conductance, "captum": captum_loop, "jacobians": jacobians}, rounds
    )
    captum = [own * 256 / 8 / base for own, base in zip(seconds["captum"], seconds["conductance"], strict=True)]
    by_jacobian = [own / base for own, base in zip(seconds["jacobians"], seconds["ours"], strict=True)]
    return {
        "Captum's NeuronConductance unit by unit, one layer, beside all layers of ours": captum,
        "Jacobians a sample by vmap, one layer, beside all layers of ours": by_jacobian,
        **beside_zennit_crp(rounds),
    }


def interleaved(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender, a value a round, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    for number in range(rounds + 1):
        for name, run in contenders.items():
            started = clock()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                seconds[name].append(clock() - started)
    return seconds


def show(title: str, figures: dict[str, list[float]], unit: str) -> None:
    print(f"\n{title} ({unit}: median, lowest to highest)")
    for name, values in figures.items():
        print(f"  {name:<80} {statistics.median(values):8.2f}   {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
