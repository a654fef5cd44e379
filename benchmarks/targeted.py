"""What targeted training costs beside a dense step, beside its exact share of the FLOPs, and beside its peers.

    python benchmarks/targeted.py [--quick] [--rounds 5] [--steps 3] [--network NAME ...] [--json FILE]

All is measured in one process, on one thread, and interleaved: in a round every contender is set up, takes one step to
warm up and then the timed ones; a ratio is to the dense step of its round, and the median over rounds is printed with
its spread. Time is the thread's CPU time (the median step of a round), wall time stands beside it. A step is zero_grad,
forward, loss, backward and fused AdamW, for the dense network too. FLOPs are counted by PyTorch in the very steps
(FlopCounterMode: matrix products, convolutions); tests hold the targeted ones against the formula.
"""

import argparse
import copy
import importlib.util
import itertools
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from attrgraph_core.targeting.forward_cache import ForwardCache
from attrgraph_core.targeting.target_neurons import target_neurons

SHARES = (0.5, 0.25, 0.1, 0.05)
PLACES = ("spread", "top", "one")
PEER_SHARE = 0.25
Step = Callable[[], object]


def mlp(width: int, depth: int) -> tuple[nn.Module, Tensor]:
    widths = [784, *[width] * (depth - 1), 10]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1]), torch.randn(128, 784)


def cnn() -> tuple[nn.Module, Tensor]:
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 64, 1), (64, 64, 2), (64, 128, 1), (128, 128, 2), (128, 256, 1)):
        layers += [nn.Conv2d(before, after, 3, stride, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)), torch.randn(32, 3, 32, 32)


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.norm2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(inner + self.shortcut(x))


def resnet() -> tuple[nn.Module, Tensor]:
    """ResNet-18's eight blocks with half its channels, for 32x32."""
    blocks = [
        Block(before, after, stride)
        for before, after, stride in (
            (32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2),
            (256, 256, 1),
        )
    ]  # fmt: skip
    stem = [nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)]
    return nn.Sequential(*stem, *blocks, *head), torch.randn(32, 3, 32, 32)


class Encoder(nn.Module):
    """Four transformer layers over 64 patches."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.embed = nn.Linear(48, width)
        layer = nn.TransformerEncoderLayer(width, 8, 4 * width, 0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 4)
        self.output = nn.Linear(width, 10)

    def forward(self, patches: Tensor) -> Tensor:
        result: Tensor = self.output(self.layers(self.embed(patches)).mean(dim=1))
        return result


def encoder() -> tuple[nn.Module, Tensor]:
    return Encoder(), torch.randn(16, 64, 48)


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "mlp-1024x3": lambda: mlp(1024, 3),
    "mlp-1024x5": lambda: mlp(1024, 5),
    "mlp-4096x3": lambda: mlp(4096, 3),
    "mlp-4096x5": lambda: mlp(4096, 5),
    "cnn": cnn,
    "resnet": resnet,
    "encoder": encoder,
}


def neuron_layers(network: nn.Module) -> dict[str, int]:
    """The layers with neurons, from input to output, and how many each has."""
    widths: dict[str, int] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            widths[name] = module.num_heads
        elif isinstance(module, nn.Linear | nn.Conv2d):
            widths[name] = len(module.weight)
    return widths


def neuron_set(network: nn.Module, share: float, place: str) -> dict[str, list[int]]:
    """A random set: `spread` over all layers, in the `top` third of them, or in `one`, the last but one.

    The outputs are always in it, as in the stages of an experiment.
    """
    widths = neuron_layers(network)
    names = list(widths)
    hidden = names[:-1]
    chosen = {"spread": hidden, "top": hidden[-max(1, len(hidden) // 3) :], "one": hidden[-1:]}[place]
    generator = torch.Generator().manual_seed(0)
    neurons = {
        name: torch.randperm(widths[name], generator=generator)[: max(1, round(share * widths[name]))].tolist()
        for name in chosen
    }
    return neurons | {names[-1]: list(range(widths[names[-1]]))}


@contextmanager
def dense(network: nn.Module, inputs: Tensor, labels: Tensor) -> Iterator[Step]:
    yield training_step(network, list(network.parameters()), inputs, labels)


@contextmanager
def targeted(network: nn.Module, inputs: Tensor, labels: Tensor, share: float, place: str) -> Iterator[Step]:
    # Statistics follow the mode, so that normalisation costs what it costs the dense network.
    with target_neurons(network, neuron_set(network, share, place), statistics="updated") as trained:
        yield training_step(network, list(trained.parameters()), inputs, labels)


@contextmanager
def columns(network: nn.Module, inputs: Tensor, labels: Tensor, share: float) -> Iterator[Step]:
    """All neurons, of each a share of its input columns."""
    layers = {name: module for name, module in network.named_modules() if type(module) in (nn.Linear, nn.Conv2d)}
    neurons = {name: range(len(module.weight)) for name, module in layers.items()}
    some = {name: range(max(1, round(share * module.weight.shape[1]))) for name, module in layers.items()}
    with target_neurons(network, neurons, columns=some, statistics="updated") as trained:
        yield training_step(network, list(trained.parameters()), inputs, labels)


@contextmanager
def masks(network: nn.Module, inputs: Tensor, labels: Tensor, share: float) -> Iterator[Step]:
    """Dense gradients, of which those of frozen rows become zero (and which move frozen weights all the same)."""
    step = training_step(network, list(network.parameters()), inputs, labels)
    kept = neuron_set(network, share, "spread")
    with ExitStack() as stack:
        for name, module in network.named_modules():
            for parameter in module.parameters(recurse=False):
                mask = torch.zeros(len(parameter), *[1] * (parameter.dim() - 1))
                mask[[row for row in kept.get(name, ()) if row < len(parameter)]] = 1.0
                hook = parameter.register_hook(lambda gradient, mask=mask: gradient * mask)
                stack.callback(hook.remove)
        yield step


@contextmanager
def gather_scatter(network: nn.Module, inputs: Tensor, labels: Tensor, share: float) -> Iterator[Step]:
    """Active rows put into the weight by index_copy in each forward pass, differentiated by autograd itself."""
    kept = neuron_set(network, share, "spread")
    leaves: list[nn.Parameter] = []
    with ExitStack() as stack:
        for parameter in network.parameters():
            parameter.requires_grad_(False)
            stack.callback(parameter.requires_grad_, True)
        for name, module in network.named_modules():
            if name in kept and type(module) in (nn.Linear, nn.Conv2d):
                rows = torch.tensor(kept[name])
                own = [(key, value, nn.Parameter(value.detach()[rows])) for key, value in module.named_parameters()]
                leaves += [leaf for *_, leaf in own]
                module.__dict__["forward"] = _replaced_forward(module, rows, own)
                stack.callback(module.__dict__.pop, "forward")
        yield training_step(network, leaves, inputs, labels)


def _replaced_forward(module: nn.Module, rows: Tensor, own: list[tuple[str, Tensor, Tensor]]) -> Callable[..., Tensor]:
    def forward(x: Tensor) -> Tensor:
        values = {name: whole.index_copy(0, rows, leaf) for name, whole, leaf in own}
        if isinstance(module, nn.Linear):
            return functional.linear(x, values["weight"], values.get("bias"))
        assert isinstance(module, nn.Conv2d)
        return module._conv_forward(x, values["weight"], values.get("bias"))

    return forward


@contextmanager
def layers_frozen(network: nn.Module, inputs: Tensor, labels: Tensor, share: float) -> Iterator[Step]:
    """requires_grad=False from the input on, until about this share of the weights is left."""
    parameters = list(network.parameters())
    left = sum(parameter.numel() for parameter in parameters)
    wanted = share * left
    frozen = []
    for parameter in parameters:
        if left - parameter.numel() < wanted and frozen:
            break
        left -= parameter.numel()
        frozen.append(parameter.requires_grad_(False))
    yield training_step(network, [p for p in parameters if p.requires_grad], inputs, labels)
    for parameter in frozen:
        parameter.requires_grad_(True)


class LowRank(nn.Module):
    """W + B A with the rank that makes A and B together a share of W."""

    def __init__(self, layer: nn.Linear, share: float) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        out, into = layer.weight.shape
        rank = max(1, round(share * out * into / (out + into)))
        self.a, self.b = nn.Parameter(torch.randn(rank, into) * 0.01), nn.Parameter(torch.zeros(out, rank))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x) + functional.linear(functional.linear(x, self.a), self.b)
        return result


@contextmanager
def lora(network: nn.Module, inputs: Tensor, labels: Tensor, share: float) -> Iterator[Step]:
    """Adapters of equal trainable size on the linear layers (not inside attention modules)."""
    network = copy.deepcopy(network).requires_grad_(False)
    for name, module in list(network.named_modules()):
        if type(module) is nn.Linear:
            parent = network.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], LowRank(module, share))
    yield training_step(network, [p for p in network.parameters() if p.requires_grad], inputs, labels)


@contextmanager
def galore(network: nn.Module, inputs: Tensor, labels: Tensor, share: float) -> Iterator[Step]:
    """galore-torch's AdamW: dense gradients, optimizer state in a projection of this share of the rank."""
    optimizer_of = importlib.import_module("galore_torch").GaLoreAdamW
    matrices = [p for p in network.parameters() if p.dim() == 2]
    rank = max(1, round(share * max(min(p.shape) for p in matrices)))
    groups = [
        {"params": [p for p in network.parameters() if p.dim() != 2]},
        {"params": matrices, "rank": rank, "update_proj_gap": 200, "scale": 0.25, "proj_type": "std"},
    ]
    yield training_step(network, [], inputs, labels, optimizer_of(groups, lr=1e-4))


@contextmanager
def badam(network: nn.Module, inputs: Tensor, labels: Tensor, share: float) -> Iterator[Step]:
    """badam's BlockOptimizer over AdamW: one layer at a time, here the first, whose step is the dearest."""
    optimizer_of = importlib.import_module("badam").BlockOptimizer
    named = list(network.named_parameters())
    blocks = list(dict.fromkeys([name.rpartition(".")[0] + "." for name, _ in named]))
    base = torch.optim.AdamW(network.parameters(), lr=1e-4)
    with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()):
        optimizer = optimizer_of(
            base_optimizer=base, named_parameters_list=named, block_prefix_list=[[block] for block in blocks],
            switch_block_every=50, switch_mode="ascending", verbose=0,
        )  # fmt: skip
    yield training_step(network, [], inputs, labels, optimizer)
    for parameter in network.parameters():
        parameter.requires_grad_(True)


PEERS = {
    "gradient masks": masks,
    "index_copy in forward (gather/scatter)": gather_scatter,
    "requires_grad=False below": layers_frozen,
    "LoRA of equal size": lora,
    "badam": badam,
    "galore-torch": galore,
}
INSTALLED = {"badam": "badam", "galore-torch": "galore_torch"}


def training_step(
    network: nn.Module, parameters: list[nn.Parameter], inputs: Tensor, labels: Tensor,
    optimizer: torch.optim.Optimizer | None = None,
) -> Step:  # fmt: skip
    optimizer = optimizer or torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    network.train()

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()

    return step


def flops_of(step: Step) -> int:
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    return int(counter.get_total_flops())


def activation_bytes(network: nn.Module, inputs: Tensor, labels: Tensor) -> int:
    """Bytes that the forward pass keeps for the backward pass, parameters not counted."""
    layers = [getattr(module.__dict__.get("forward"), "__self__", None) for module in network.modules()]
    # Columns of frozen weights that a layer keeps for all steps.
    slices = [kept.weight for layer in layers for _, kept in getattr(layer, "_needed", {}).values() if kept]
    weights = {p.untyped_storage().data_ptr() for p in [*network.parameters(), *slices]}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.shape != inputs.shape:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = functional.cross_entropy(network(inputs), labels)
    del loss
    return sum(kept.values())


def timed(step: Step) -> tuple[float, float]:
    """CPU and wall seconds."""
    cpu, wall = time.thread_time(), time.perf_counter()
    step()
    return time.thread_time() - cpu, time.perf_counter() - wall


def measure(
    contenders: dict[str, Callable[[], Any]], rounds: int, steps: int
) -> tuple[dict[str, dict[str, list[float]]], dict[str, int]]:
    """CPU, wall and set-up seconds of each contender, a value a round; and the FLOPs of its step."""
    seconds: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "wall": [], "setup": []} for name in contenders}
    flops: dict[str, int] = {}
    for _ in range(rounds):
        for name, make in contenders.items():
            own = seconds[name]
            began = time.perf_counter()
            with make() as step:
                own["setup"].append(time.perf_counter() - began)
                if name not in flops:
                    flops[name] = flops_of(step)
                step()
                taken = [timed(step) for _ in range(steps)]
                own["cpu"].append(statistics.median(cpu for cpu, _ in taken))
                own["wall"].append(statistics.median(wall for _, wall in taken))
    return seconds, flops


def network_table(name: str, rounds: int, steps: int, quick: bool) -> list[dict[str, Any]]:
    """A row a contender: its ratios to the dense step, the FLOP limit and both together."""
    torch.manual_seed(0)
    network, inputs = NETWORKS[name]()
    labels = torch.arange(len(inputs)) % 10
    given = (network, inputs, labels)
    contenders: dict[str, Callable[[], Any]] = {
        "dense": lambda: dense(*given),
        "f=1 spread": lambda: targeted(*given, 1.0, "spread"),
    }
    for place in PLACES[:1] if quick else PLACES:
        for share in (0.25,) if quick else SHARES:
            key = f"f={share:g} {place}"
            contenders[key] = lambda share=share, place=place: targeted(*given, share, place)
    if name.startswith("mlp"):
        contenders["columns f=0.25"] = lambda: columns(*given, 0.25)
    for peer, make in PEERS.items():
        if peer in INSTALLED and importlib.util.find_spec(INSTALLED[peer]) is None:
            print(f"  {peer} is not installed")
            continue
        contenders[f"peer f={PEER_SHARE} {peer}"] = lambda make=make: make(*given, PEER_SHARE)
    seconds, flops = measure(contenders, rounds, steps)
    rows = []
    for contender, own in seconds.items():
        ratios = [a / b for a, b in zip(own["cpu"], seconds["dense"]["cpu"], strict=True)]
        wall = [a / b for a, b in zip(own["wall"], seconds["dense"]["wall"], strict=True)]
        limit = flops[contender] / flops["dense"]
        rows.append({
            "network": name, "contender": contender, "cpu": statistics.median(ratios), "cpu_low": min(ratios),
            "cpu_high": max(ratios), "wall": statistics.median(wall), "limit": limit,
            "over_limit": statistics.median(ratios) / limit, "seconds": statistics.median(own["cpu"]),
            "setup_seconds": statistics.median(own["setup"]),
        })  # fmt: skip
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print(f"\n{rows[0]['network']}: dense step {rows[0]['seconds'] * 1000:.0f} ms of CPU time")
    print(f"  {'':<52}{'CPU ratio (spread)':>22}{'wall':>7}{'FLOPs':>7}{'over':>7}")
    for row in rows:
        spread = f"{row['cpu']:.2f} ({row['cpu_low']:.2f}-{row['cpu_high']:.2f})"
        print(
            f"  {row['contender']:<52}{spread:>22}{row['wall']:>7.2f}{row['limit']:>7.2f}{row['over_limit']:>7.2f}",
            flush=True,
        )


def cache_table(name: str, rounds: int) -> dict[str, Any]:
    """A step with the forward cache beside the dense one, with its building paid off over ten epochs."""
    torch.manual_seed(0)
    network, _ = NETWORKS[name]()
    samples, batch = 2048, 128
    inputs, labels = torch.randn(samples, 784), torch.arange(samples) % 10
    batches = torch.randperm(samples).split(batch)
    figures: dict[str, list[float]] = {"dense": [], "memory": [], "mapped": [], "build": []}
    for _ in range(rounds):
        with dense(network, inputs[:batch], labels[:batch]) as step:
            step()
            began = time.thread_time()
            for _ in range(3):
                step()
            figures["dense"].append((time.thread_time() - began) / 3)
        for where in ("memory", "mapped"):
            with (
                target_neurons(network, neuron_set(network, 0.1, "spread")) as trained,
                tempfile.TemporaryDirectory() if where == "mapped" else nullcontext() as folder,
            ):
                began = time.thread_time()
                cache = ForwardCache(
                    trained, inputs, byte_budget=0 if folder else 2**31, folder=Path(folder) if folder else None
                )
                if where == "memory":
                    figures["build"].append(time.thread_time() - began)
                optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-4, fused=True)
                for number in range(6):
                    if number == 1:
                        began = time.thread_time()
                    rows = batches[number]
                    optimizer.zero_grad()
                    functional.cross_entropy(cache(rows), labels[rows]).backward()
                    optimizer.step()
                figures[where].append((time.thread_time() - began) / 5)
    epoch = [samples / batch * step for step in figures["dense"]]
    ratio = {
        f"{where} step": statistics.median([a / b for a, b in zip(figures[where], figures["dense"], strict=True)])
        for where in ("memory", "mapped")
    }
    build = statistics.median([a / b for a, b in zip(figures["build"], epoch, strict=True)])
    return {"network": name, "bytes": cache.byte_count, "build, of a dense epoch": build, **ratio} | {
        "memory step, build paid off in 10 epochs": ratio["memory step"] + build / 10
    }


def memory_table(name: str) -> list[dict[str, Any]]:
    """Bytes of gradients and optimizer state, and of what the forward pass keeps."""
    network, inputs = NETWORKS[name]()
    labels = torch.arange(len(inputs)) % 10
    contenders: dict[str, Any] = {"dense": lambda: dense(network, inputs, labels)}
    for share in (0.25, 0.1):
        for place in ("spread", "top"):
            key = f"f={share:g} {place}"
            contenders[key] = lambda share=share, place=place: targeted(network, inputs, labels, share, place)
    if name.startswith("mlp"):
        contenders["columns f=0.1"] = lambda: columns(network, inputs, labels, 0.1)
    rows = []
    for contender, make in contenders.items():
        with make() as step:
            optimizer = next(
                cell.cell_contents for cell in step.__closure__ if isinstance(cell.cell_contents, torch.optim.Optimizer)
            )
            step()
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            gradients = sum(p.grad.nbytes for p in parameters if p.grad is not None)
            states = sum(v.nbytes for s in optimizer.state.values() for v in s.values() if isinstance(v, Tensor))
            rows.append({
                "network": name, "contender": contender, "gradients": gradients, "optimizer": states,
                "activations": activation_bytes(network, inputs, labels),
            })  # fmt: skip
    return rows


def setup_share(rounds: int) -> float:
    """Entering and leaving `target_neurons` at width 4096, f=.1, over a dense epoch of 60,000 samples in 128s."""
    network, inputs = mlp(4096, 3)
    labels = torch.arange(len(inputs)) % 10
    shares = []
    for _ in range(rounds):
        with dense(network, inputs, labels) as step:
            step()
            began = time.perf_counter()
            step()
            epoch = (time.perf_counter() - began) * 60000 / 128
        began = time.perf_counter()
        with target_neurons(network, neuron_set(network, 0.1, "spread")):
            pass
        shares.append((time.perf_counter() - began) / epoch)
    return statistics.median(shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="f=1 and f=.25 spread, two small networks, two rounds")
    parser.add_argument("--rounds", type=int, default=0, help="default 5, with --quick 2")
    parser.add_argument("--steps", type=int, default=3, help="timed in a round; default 3")
    parser.add_argument("--network", action="append", choices=list(NETWORKS), help="default all")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*nested_tensor.*")
    torch.set_num_threads(1)
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    names = arguments.network or (["mlp-1024x3", "cnn"] if arguments.quick else list(NETWORKS))
    figures: dict[str, Any] = {"steps": [], "memory": [], "cache": []}
    for name in names:
        figures["steps"].append(network_table(name, rounds, arguments.steps, arguments.quick))
        show(figures["steps"][-1])
    for name in names:
        figures["memory"] += memory_table(name)
    print("\nMiB: gradients, optimizer state, activations kept")
    for row in figures["memory"]:
        sizes = "".join(f"{row[key] / 2**20:>10.1f}" for key in ("gradients", "optimizer", "activations"))
        print(f"  {row['network']:<12}{row['contender']:<20}{sizes}")
    for name in names:
        if name.startswith("mlp"):
            figures["cache"].append(cache_table(name, rounds))
            print("\nforward cache, f=.1 spread, beside a dense step:", figures["cache"][-1])
    if "mlp-4096x3" in names:
        figures["setup"] = setup_share(rounds)
        print(f"\nsetting up a stage, of a dense epoch (mlp-4096x3, 60,000 samples): {figures['setup']:.5f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
