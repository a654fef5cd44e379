"""`attrgraph stream`: a stream of changing tasks with and without recycling, and whether the network still learns."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attrgraph_cli.progress_bars import progress_bars
from attrgraph_cli.tables import print_table
from attrgraph_core.errors import AttrGraphError


class Change(StrEnum):
    inputs = "inputs"
    labels = "labels"


class Optimizer(StrEnum):
    sgd = "sgd"
    adam = "adam"


def stream(
    dataset: Annotated[str, typer.Option(help="digits, another built-in set, or package.module:function.")] = "digits",
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
    if output is not None and not output.parent.is_dir():
        raise AttrGraphError(f"there is no folder {output.parent} to write {output.name} to")
    from pipelines.stream_run import NONE, StreamSettings, run_streams, stream_summary

    settings = StreamSettings(
        dataset, model, change.value, tasks, epochs, optimizer.value, learning_rate, rate, every, tuple(seed or [0])
    )
    console = Console() if sys.stdout.isatty() else Console(width=160)
    with progress_bars(console):
        table = run_streams(settings, [NONE, *(utility or ["influence", "random"])])
    if output is not None:
        table.to_csv(output, index=False)
    print_table(stream_summary(table))
