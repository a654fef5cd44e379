"""Streams of changing tasks with and without recycling: `python benchmarks/recycling.py`.

Permuted digits, an MLP, plain SGD and Adam; every method sees the same tasks and the same first weights, seed by seed.
Prints mean accuracy before each step over the last half of the tasks, its spread over seeds, the paired difference to
no recycling, and the time of a step over that without.
"""

import argparse
import time
import warnings

import pandas as pd
import torch

from attrgraph_core.recycling.neuron_recycler import NeuronRecycler
from attrgraph_core.recycling.streams import run_stream, task_stream
from attrgraph_core.recycling.utility import UTILITIES
from attrgraph_core.training.data import load_data
from attrgraph_core.training.models import build_model

OPTIMIZERS = {
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
}


def run_one(method: str, seed: int, optimizer_name: str, asked: argparse.Namespace) -> tuple[pd.DataFrame, float]:
    data = load_data("digits")
    model = build_model("mlp", {"hidden": asked.hidden}, data, seed)
    optimizer = OPTIMIZERS[optimizer_name](model.parameters(), asked.learning_rate[optimizer_name])
    recycler = None
    if method != "none":
        recycler = NeuronRecycler(
            model, optimizer, rate=asked.rate[optimizer_name], every=asked.every, utility=method, seed=seed
        )
    tasks = task_stream(
        data.train_inputs, data.train_labels, asked.tasks, change=asked.change, epochs=asked.epochs, seed=seed
    )
    started = time.perf_counter()
    table = run_stream(model, optimizer, tasks, recycler)
    return table, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", type=int, default=20, help="steps between renewals")
    parser.add_argument("--change", default="inputs", help="inputs or labels")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64])
    parser.add_argument("--optimizers", nargs="+", default=["sgd", "adam"])
    parser.add_argument("--methods", nargs="+", default=["none", *UTILITIES])
    asked = parser.parse_args()
    asked.learning_rate = {"sgd": 0.1, "adam": 3e-3}
    asked.rate = {"sgd": 0.02, "adam": 0.02}
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    print(
        f"{'optimizer':9} {'recycling':13} {'accuracy':>17} {'over none':>17} {'dead':>6} {'rank':>6} {'|w|':>6} time"
    )
    for optimizer in asked.optimizers:
        runs = {
            (method, seed): run_one(method, seed, optimizer, asked)
            for seed in range(asked.seeds)
            for method in asked.methods
        }
        for method in asked.methods:
            print(f"{optimizer:9} {method:13} {_figures(runs, method, asked)}", flush=True)


def _figures(runs: dict[tuple[str, int], tuple[pd.DataFrame, float]], method: str, asked: argparse.Namespace) -> str:
    def late(name: str) -> pd.DataFrame:
        tables = [runs[name, seed][0] for seed in range(asked.seeds)]
        return pd.DataFrame([table.tail(len(table) // 2).mean() for table in tables])

    def seconds(name: str) -> float:
        return sum(runs[name, seed][1] for seed in range(asked.seeds))

    own, none = late(method), late(asked.methods[0])
    gain = own["accuracy"] - none["accuracy"]
    return (
        f"{own['accuracy'].mean():8.4f} ± {own['accuracy'].std():.4f} {gain.mean():+8.4f} ± {gain.std():.4f} "
        f"{own['dead_share'].mean():6.3f} {own['rank_share'].mean():6.3f} {own['weight_size'].mean():6.3f} "
        f"{seconds(method) / seconds(asked.methods[0]):.2f}"
    )


if __name__ == "__main__":
    main()
