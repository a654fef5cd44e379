"""Streams of tasks, each another one for the same network, and how well it learns each of them.

A network that is trained on one task after another may lose its ability to learn (loss of plasticity: Dohare et al.,
2024). Measured is what they measure: the accuracy on each batch before the step on it, over a task.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.recycling.neuron_recycler import NeuronRecycler
from attrgraph_core.recycling.plasticity import plasticity

CHANGES = ("inputs", "labels")
PLASTICITY_SAMPLES = 256


@dataclass(frozen=True, eq=False)
class Task:
    """Samples in the order in which they come: inputs (samples, ...) and labels (samples,).

    `elements` are the places that the elements of a flattened input come from; None where inputs are as they were.
    """

    inputs: Tensor
    labels: Tensor
    elements: Tensor | None = None

    def permuted(self, inputs: Tensor) -> Tensor:
        """Other inputs (samples, ...) as this task has them."""
        return inputs if self.elements is None else permuted(inputs, self.elements)


def permuted(inputs: Tensor, elements: Tensor) -> Tensor:
    """Inputs (samples, ...) with the elements of each in another order."""
    return inputs.flatten(1)[:, elements].reshape(inputs.shape)


def task_stream(inputs: Tensor, labels: Tensor, count: int, *, change: str, epochs: int, seed: int) -> Iterator[Task]:
    """`count` tasks of the same samples, each seen `epochs` times in random order.

    With `change` `inputs` each task permutes the elements of the inputs by a permutation of its own; with `labels` it
    permutes the labels of all samples anew. Raises AttrGraphError for another change and counts below 1.
    """
    if change not in CHANGES:
        raise AttrGraphError(f"unknown change {change!r}; what changes from task to task is {' or '.join(CHANGES)}")
    for name, value in (("count", count), ("epochs", epochs)):
        if value < 1:
            raise AttrGraphError(f"{name} is {value}; it is 1 or more")
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        own_inputs, own_labels, elements = inputs, labels, None
        if change == "inputs":
            elements = torch.randperm(inputs[0].numel(), generator=generator)
            own_inputs = permuted(inputs, elements)
        else:
            own_labels = labels[torch.randperm(len(labels), generator=generator)]
        order = torch.cat([torch.randperm(len(labels), generator=generator) for _ in range(epochs)])
        yield Task(own_inputs[order], own_labels[order], elements)


def run_stream(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tasks: Iterator[Task],
    recycler: NeuronRecycler | None = None,
    *,
    batch_size: int = 32,
    on_task: Callable[[int, float], None] = lambda *_: None,
) -> pd.DataFrame:
    """Train `model` on one task after another; a row a task: task (from 1), accuracy, and what `plasticity` measures.

    `accuracy` is that of each batch before its step, over the task; the last half of it is `late_accuracy`. Dead share,
    rank share and weight size are means over layers at the end of the task, `renewed` counts neurons so far.
    """
    rows: list[tuple[float, ...]] = []
    for number, task in enumerate(tasks, start=1):
        right = torch.cat(list(_learn(model, optimizer, task, recycler, batch_size)))
        figures = plasticity(model, task.inputs[:PLASTICITY_SAMPLES]).mean(numeric_only=True)
        renewed = 0 if recycler is None else int(recycler.table()["renewed"].sum())
        accuracy = float(right.float().mean())
        late = float(right[len(right) // 2 :].float().mean())
        rows.append((number, accuracy, late, figures.dead_share, figures.rank_share, figures.weight_size, renewed))
        on_task(number, accuracy)
    columns = ["task", "accuracy", "late_accuracy", "dead_share", "rank_share", "weight_size", "renewed"]
    return pd.DataFrame(rows, columns=columns)


def _learn(
    model: nn.Module, optimizer: torch.optim.Optimizer, task: Task, recycler: NeuronRecycler | None, batch_size: int
) -> Iterator[Tensor]:
    model.train()
    for inputs, labels in zip(task.inputs.split(batch_size), task.labels.split(batch_size), strict=True):
        scores = model(inputs)
        yield scores.detach().argmax(dim=1) == labels
        optimizer.zero_grad()
        functional.cross_entropy(scores, labels).backward()
        optimizer.step()
        if recycler is not None:
            recycler.step()
