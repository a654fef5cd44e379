"""Known results in shape: `python benchmarks/reference.py`, a minute; `--quick` on one seed.

- Random masking needs a larger learning rate the fewer weights train (Xu and Zhang, 2024).
- meProp (Sun et al., 2017) and DRTP (Frenkel et al., 2021) train digits well, without the whole of the error.
- Adam loses plasticity on a stream of tasks, and continual backprop's renewal cures it (Dohare et al., 2024).

Removal of a patch's backdoor is in `tests/attrgraph_core/surgery/test_operation.py`. Nothing here looks at a test set.
"""

import argparse
from collections import OrderedDict
from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.limits.rate_sensitivity import rate_sensitivity
from attrgraph_core.peers.drtp import DirectRandomTargetProjection
from attrgraph_core.peers.meprop import MeProp
from attrgraph_core.peers.peer import Peer
from attrgraph_core.recycling.neuron_recycler import NeuronRecycler
from attrgraph_core.recycling.streams import run_stream, task_stream
from attrgraph_core.surgery.weight_entries import WeightEntries
from attrgraph_core.training.data import load_data, with_validation
from attrgraph_core.training.models import build_model
from attrgraph_core.training.reproducibility import seeded
from attrgraph_core.training.stage import TrainingSettings, train_stage

HIDDEN = {"hidden": [64, 32]}
SHARES = (1.0, 0.25)
RATES = tuple(0.1 * 10 ** (step / 4) for step in range(5))  # 0.1 to 1
PEERS: dict[str, Callable[[nn.Module, int], Peer]] = {
    "back-propagation": lambda model, seed: Peer(model),
    "meProp, a quarter": lambda model, seed: MeProp(model, 0.25, "output"),
    "DRTP": lambda model, seed: DirectRandomTargetProjection(model, 10, seed),
}


def random_masking(seeds: Sequence[int], epochs: int = 3) -> pd.DataFrame:
    """SGD on a random share of all weights: method (the share), learning_rate, seed, accuracy on validation."""
    data = with_validation(load_data("digits"))
    rows = []
    for share in SHARES:
        for rate in RATES:
            for seed in seeds:
                model = build_model("mlp", HIDDEN, data, seed)
                settings = TrainingSettings(epochs, rate, optimizer="sgd", schedule="constant")
                entries = None if share == 1 else random_entries(model, share, seed)
                try:
                    result = train_stage(model, data, settings, entries=entries, seed=seed, stage=1)
                    accuracy = result.epochs[-1].accuracy
                except AttrGraphError:  # it diverged
                    accuracy = 0.0
                rows.append((share, rate, seed, accuracy))
    return pd.DataFrame(rows, columns=["method", "learning_rate", "seed", "accuracy"])


def random_entries(model: nn.Module, share: float, seed: int) -> WeightEntries:
    """A share of the weights and biases of each parameter."""
    generator = torch.Generator().manual_seed(seed)
    return WeightEntries(
        {
            name: torch.randperm(value.numel(), generator=generator)[: round(share * value.numel())].sort().values
            for name, value in model.named_parameters()
        }
    )


def other_errors(seeds: Sequence[int], epochs: int = 15) -> pd.DataFrame:
    """Training without the whole of the error: method, seed, accuracy on validation, of a network of tanh by Adam."""
    data = with_validation(load_data("digits"))
    rows = []
    for name, make in PEERS.items():
        for seed in seeds:
            model = tanh_network(seed)
            result = train_stage(
                model, data, TrainingSettings(epochs, 1e-2), seed=seed, stage=1,
                make_peer=lambda model, make=make, seed=seed: make(model, seed),
            )  # fmt: skip
            rows.append((name, seed, result.epochs[-1].accuracy))
    return pd.DataFrame(rows, columns=["method", "seed", "accuracy"])


def tanh_network(seed: int) -> nn.Sequential:
    """DRTP's hidden units are tanh; under fixed signals ReLU does less well."""
    with seeded(seed):
        return nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(64, 128), tanh1=nn.Tanh(), fc2=nn.Linear(128, 64), tanh2=nn.Tanh(),
                output=nn.Linear(64, 10),
            )
        )  # fmt: skip


def lost_plasticity(seeds: Sequence[int], tasks: int = 40, learning_rate: float = 3e-3) -> pd.DataFrame:
    """Adam on permuted digits, without and with continual backprop: method, seed, task, accuracy before each step."""
    data = load_data("digits")
    tables = []
    for method in ("Adam", "continual backprop"):
        for seed in seeds:
            model = build_model("mlp", {"hidden": [64, 64]}, data, seed)
            optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
            recycler = None
            if method != "Adam":
                recycler = NeuronRecycler(model, optimizer, rate=0.02, every=20, utility="contribution", seed=seed)
            stream = task_stream(data.train_inputs, data.train_labels, tasks, change="inputs", epochs=2, seed=seed)
            table = run_stream(model, optimizer, stream, recycler)
            tables.append(table.assign(method=method, seed=seed)[["method", "seed", "task", "accuracy", "dead_share"]])
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed")
    seeds = range(1 if parser.parse_args().quick else 3)
    torch.set_num_threads(1)
    print(rate_sensitivity(random_masking(seeds)).to_string(index=False), flush=True)
    print(other_errors(seeds).groupby("method", sort=False)["accuracy"].agg(["mean", "std"]).to_string(), flush=True)
    stream = lost_plasticity(seeds)
    stream["tasks"] = pd.cut(stream["task"], 4)
    print(stream.pivot_table("accuracy", "tasks", "method", observed=True).to_string())


if __name__ == "__main__":
    main()
