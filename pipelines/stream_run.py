"""Streams of tasks with several ways of recycling, by the names of an experiment's data and models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from attrgraph_core.recycling.neuron_recycler import NeuronRecycler, check_settings
from attrgraph_core.recycling.streams import run_stream, task_stream
from attrgraph_core.recycling.utility import UTILITIES
from attrgraph_core.training.data import TrainingData, load_data
from attrgraph_core.training.models import build_model
from pipelines.progress import report_progress

if TYPE_CHECKING:
    import pandas as pd

NONE = "none"  # the method without recycling
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


@dataclass(frozen=True)
class StreamSettings:
    dataset: str
    model: str
    change: str
    tasks: int
    epochs: int
    optimizer: str
    learning_rate: float
    rate: float
    every: int
    seeds: tuple[int, ...]


def run_streams(settings: StreamSettings, methods: list[str]) -> "pd.DataFrame":
    """A row a method (`none`, or a utility), seed and task: what `run_stream` gives."""
    import pandas as pd

    for name in methods:
        check_settings(settings.rate, settings.every, UTILITIES[0] if name == NONE else name)
    data = load_data(settings.dataset)
    tables = [
        _run_one(settings, data, method, seed).assign(recycling=method, seed=seed)
        for method in methods
        for seed in settings.seeds
    ]
    return pd.concat(tables, ignore_index=True)


def stream_summary(table: "pd.DataFrame") -> "pd.DataFrame":
    """A row a method: means over seeds and the last quarter of the tasks, and accuracy over the first."""
    quarter = max(1, int(table["task"].max()) // 4)
    last = table[table["task"] > table["task"].max() - quarter].groupby("recycling", sort=False)
    first = table[table["task"] <= quarter].groupby("recycling", sort=False)
    figures = ["accuracy", "late_accuracy", "dead_share", "rank_share", "weight_size", "renewed"]
    found = last[figures].mean()
    found.insert(0, "first_accuracy", first["accuracy"].mean())
    return found.reset_index()


def _run_one(settings: StreamSettings, data: TrainingData, method: str, seed: int) -> "pd.DataFrame":
    model = build_model(settings.model, {}, data, seed)
    optimizer = OPTIMIZERS[settings.optimizer](model.parameters(), lr=settings.learning_rate)
    recycler = None
    if method != NONE:
        recycler = NeuronRecycler(model, optimizer, rate=settings.rate, every=settings.every, utility=method, seed=seed)
    tasks = task_stream(
        data.train_inputs, data.train_labels, settings.tasks, change=settings.change, epochs=settings.epochs, seed=seed
    )
    return run_stream(
        model, optimizer, tasks, recycler,
        on_task=lambda number, accuracy: report_progress(
            f"{method}, seed {seed}", number, settings.tasks, f"accuracy {accuracy:.3f}"
        ),
    )  # fmt: skip
