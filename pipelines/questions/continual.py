"""Whether a network keeps able to learn on a stream of changing tasks, with recycling and without.

The tasks of a stream are drawn by the cell's seed, so that settings are chosen on other streams than those of the test.
`late` is the accuracy on each batch before the step on it (Dohare et al., 2024), over the last half of the tasks;
where inputs change, `held_out` is that on held-out samples at the end of each of these tasks.
"""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, Field
from torch import Tensor

from attrgraph_core.recycling.neuron_recycler import NeuronRecycler
from attrgraph_core.recycling.streams import Task as StreamTask
from attrgraph_core.recycling.streams import run_stream, task_stream
from attrgraph_core.study.held_out import HeldOut
from attrgraph_core.surgery.weight_change import copy_of
from pipelines.keys_file import Section
from pipelines.questions.question import Measure, Question, Task, Trained
from pipelines.questions.trained_variant import accuracy_of
from pipelines.stream_run import OPTIMIZERS

if TYPE_CHECKING:
    from torch import nn


class Options(Section):
    change: Literal["inputs", "labels"] = "inputs"
    tasks: int = Field(default=40, ge=4)
    epochs: int = Field(default=2, ge=1)
    every: int = Field(default=20, ge=1)  # steps between renewals


class Method(Section):
    optimizer: Literal["sgd", "adam"] = "adam"
    recycling: Literal["none", "influence", "contribution", "dormancy", "random"]
    rate: float = Field(default=0.02, gt=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)


@dataclass(frozen=True, eq=False)
class _Learnt:
    task: StreamTask
    state: dict[str, Tensor]


class Continual(Question):
    name = "continual"
    asks = "Does recycling the least influential neurons keep a network able to learn, where plain training loses it?"
    measures = (
        Measure("late", "accuracy before each step, over the last half of the tasks", is_tested=True),
        Measure("held_out", "accuracy on held-out samples after each of these tasks", is_tested=True),
        Measure("early", "accuracy before each step, over the first tenth of the tasks"),
        Measure("lost", "early less late: loss of plasticity", larger_is_better=False),
        Measure("dead_share", "of the units, over the last half", larger_is_better=False),
        Measure("rank_share", "effective rank over width, over the last half"),
        Measure("renewed", "neurons in all", larger_is_better=False),
        Measure("seconds", "of the whole stream", larger_is_better=False),
    )
    settings = ("learning_rate", "rate", "weight_decay")
    Options: ClassVar[type[BaseModel]] = Options
    Method: ClassVar[type[BaseModel]] = Method

    def train(self, task: Task) -> Trained:
        options: Options = task.options
        model, started = task.build_model(), time.perf_counter()
        learnt: list[_Learnt] = []
        rows = pd.concat(list(_stream(task, model, learnt)), ignore_index=True)
        tenth, half = max(1, options.tasks // 10), options.tasks // 2
        late = rows.tail(half).mean(numeric_only=True)
        early = float(rows.head(tenth)["accuracy"].mean())
        measures = {
            "late": float(late["accuracy"]), "early": early, "lost": early - float(late["accuracy"]),
            "dead_share": float(late["dead_share"]), "rank_share": float(late["rank_share"]),
            "renewed": float(rows["renewed"].iloc[-1]), "seconds": time.perf_counter() - started,
        }  # fmt: skip
        return Trained(model, measures, learnt[-half:])

    def measure(self, task: Task, trained: Trained, held_out: HeldOut) -> dict[str, float]:
        """On held-out samples, permuted as each task has them; redrawn labels say nothing of other samples."""
        if task.options.change == "labels":
            return {"held_out": math.nan}
        found, end = [], copy_of(trained.model)
        for learnt in trained.about:
            trained.model.load_state_dict(learnt.state)
            found.append(accuracy_of(trained.model, HeldOut(learnt.task.permuted(held_out.inputs), held_out.labels)))
        trained.model.load_state_dict(end)
        return {"held_out": sum(found) / len(found)}


def _stream(task: Task, model: "nn.Module", learnt: list[_Learnt]) -> "list[pd.DataFrame]":
    """What `run_stream` shows of each task; `learnt` gets the network at the end of each."""
    options, method, settings = task.options, task.method, dict(task.settings)
    decay = settings.get("weight_decay", method.weight_decay)
    rate = settings.get("learning_rate", task.training.learning_rate)
    optimizer = OPTIMIZERS[method.optimizer](model.parameters(), lr=rate, weight_decay=decay)
    recycler = None
    if method.recycling != "none":
        recycler = NeuronRecycler(
            model, optimizer, rate=settings.get("rate", method.rate), every=options.every, utility=method.recycling,
            seed=task.seed,
        )  # fmt: skip
    tables = []
    stream = task_stream(
        task.data.train_inputs, task.data.train_labels, options.tasks, change=options.change, epochs=options.epochs,
        seed=task.seed,
    )  # fmt: skip
    for one in stream:
        tables.append(run_stream(model, optimizer, iter([one]), recycler))
        slim = StreamTask(one.inputs[:0], one.labels[:0], one.elements)
        learnt.append(_Learnt(slim, copy_of(model)))
    if recycler is not None:
        recycler.close()
    return tables
