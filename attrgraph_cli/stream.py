"""`attrgraph stream`: a stream of changing tasks with and without recycling, and whether the network still learns."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from attrgraph_cli.progress_bars import progress_bars
from attrgraph_cli.tables import print_table
from attrgraph_core.errors import AttrGraphError

if TYPE_CHECKING:
    import pandas as pd


class Change(StrEnum):
    inputs = "inputs"
    labels = "labels"


class Optimizer(StrEnum):
    sgd = "sgd"
    adam = "adam"


def stream(
    dataset: Annotated[str, typer.Option(help="digits, or package.module:function.")] = "digits",
    model: Annotated[
        str, typer.Option(help="mlp, small_cnn (with digits_images), or package.module:function.")
    ] = "mlp",
    change: Annotated[Change, typer.Option(help="What each task permutes: the inputs' elements, or labels.")] = (
        Change.inputs
    ),
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks.")] = 20,
    epochs: Annotated[int, typer.Option(min=1, help="How often a task's samples are seen.")] = 2,
    optimizer: Annotated[Optimizer, typer.Option(help="Plain SGD or Adam.")] = Optimizer.adam,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="Constant.")] = 3e-3,
    rate: Annotated[float, typer.Option(help="Share of a layer that is renewed at once.")] = 0.02,
    every: Annotated[int, typer.Option(min=1, help="Steps between renewals.")] = 20,
    utility: Annotated[
        list[str] | None, typer.Option(help="influence, contribution, dormancy, random; may be repeated.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="May be repeated.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .csv with a row a task.")] = None,
) -> None:
    """Train one network on task after task, without recycling and with it, and show how well it learns each.

    Every method has the same tasks and first weights. Accuracy is that of each batch before the step on it.
    """
    from attrgraph_core.recycling.utility import UTILITIES

    utilities = utility or ["influence", "random"]
    unknown = [name for name in utilities if name not in UTILITIES]
    if unknown:
        raise AttrGraphError(f"unknown utility {unknown[0]!r}; known are {', '.join(UTILITIES)}")
    if output is not None and not output.parent.is_dir():
        raise AttrGraphError(f"there is no folder {output.parent} to write {output.name} to")
    from pipelines.stream_run import StreamSettings, run_streams

    settings = StreamSettings(
        dataset, model, change.value, tasks, epochs, optimizer.value, learning_rate, rate, every, tuple(seed or [0])
    )
    console = Console() if sys.stdout.isatty() else Console(width=160)
    with progress_bars(console):
        table = run_streams(settings, ["none", *utilities])
    if output is not None:
        table.to_csv(output, index=False)
    print_table(_summary(table))


def _summary(table: "pd.DataFrame") -> "pd.DataFrame":
    """A row a method: means over seeds and the first and the last quarter of the tasks."""
    quarter = max(1, int(table["task"].max()) // 4)
    last = table[table["task"] > table["task"].max() - quarter].groupby("recycling", sort=False)
    first = table[table["task"] <= quarter].groupby("recycling", sort=False)
    figures = ["accuracy", "late_accuracy", "dead_share", "rank_share", "weight_size", "renewed"]
    found = last[figures].mean()
    found.insert(0, "first_accuracy", first["accuracy"].mean())
    return found.reset_index()
