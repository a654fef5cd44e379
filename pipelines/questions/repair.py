"""Which remedy mends a network that a known fault misleads, and what that costs elsewhere.

A network is trained in full on data with a backdoor or a shortcut, or on sound data and meets broken sensors. One half
of the validation samples is there to find edges and to fine-tune by, the other half to choose doses and learning rates
by, as `attrgraph surgery` does; of each half a half shows the fault. Each cell is one remedy. The blind one has no
faulty samples to choose its dose by: it takes the most edges that cost at most a point on the good ones.
"""

import time
from dataclasses import dataclass
from typing import ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, Field
from scipy.stats import mannwhitneyu
from torch import nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.faults.backdoor import backdoor, patch_case, shortcut
from attrgraph_core.faults.sensors import sensor_fault
from attrgraph_core.study.held_out import HeldOut
from attrgraph_core.surgery import remedies
from attrgraph_core.surgery.failure_edges import blamed_inputs, failure_edges, failure_graphs
from attrgraph_core.surgery.outcome import classes_of
from attrgraph_core.surgery.remedies import Candidate
from attrgraph_core.surgery.samples import Case, Samples
from attrgraph_core.surgery.theatre import Theatre
from attrgraph_core.surgery.unrolling import unroll
from attrgraph_core.surgery.weight_entries import layers_with_edges
from attrgraph_core.training.data import TrainingData
from attrgraph_core.training.reproducibility import derive_seed
from attrgraph_core.training.stage import train_stage
from pipelines.keys_file import Section
from pipelines.questions.question import Measure, Question, Task, Trained
from pipelines.questions.trained_variant import settings_of_task

UNCHANGED = Candidate("", lambda model: None)
EDGES = ("blamed edges", "random edges", "magnitude edges")
TUNED, BLIND = ", fine-tuned", "blamed edges, blind"
HELD_OUT = 2  # the part after those to find and to choose by
TOLERATED = 0.01  # accuracy on good samples that a blind dose may cost


class Options(Section):
    """`neurons` are the patch, or the broken sensors, as places in one flattened input."""

    fault: Literal["backdoor", "shortcut", "dead", "stuck", "noisy"]
    neurons: tuple[int, ...] = Field(min_length=1, strict=False)
    target: int = Field(default=0, ge=0)
    share: float = Field(default=0.1, gt=0, le=1)
    value: float = 1.0
    epochs: int = Field(default=15, ge=1)
    steps: int = Field(default=100, ge=1)  # of each fine-tuning


class Method(Section):
    remedy: Literal[
        "unchanged", "blamed edges", "blamed edges, blind", "blamed edges, fine-tuned", "random edges",
        "random edges, fine-tuned",
        "magnitude edges", "magnitude edges, fine-tuned", "full fine-tuning", "fine-tuning with replay", "L2-SP", "EWC",
        "head only", "output mask", "input mask",
    ]  # fmt: skip
    unrolled: bool = False  # on the network with its convolutions unrolled: edges of positions


@dataclass(frozen=True, eq=False)
class _Mended:
    theatre: Theatre
    candidate: Candidate
    inputs_auroc: float


class Repair(Question):
    name = "repair"
    asks = "Does removing the edges to blame mend a fault better than simpler remedies, and at what cost elsewhere?"
    measures = (
        Measure("balance", "mean of the accuracies on bad and on good samples", is_tested=True),
        Measure("failure_rate", "share of bad samples that fail as before", larger_is_better=False, is_tested=True),
        Measure("good_accuracy", "on samples without the fault", is_tested=True),
        Measure("bad_accuracy", "on samples with the fault, by their right labels"),
        Measure("edges", "removed", larger_is_better=False),
        Measure("changed_weights", "numbers that the remedy changed", larger_is_better=False),
        Measure("inputs_auroc", "how well blame finds the fault's inputs: 1 is always, 0.5 by chance"),
        Measure("seconds", "of finding, choosing and mending", larger_is_better=False),
    )
    settings = ()
    Options: ClassVar[type[BaseModel]] = Options
    Method: ClassVar[type[BaseModel]] = Method

    def train(self, task: Task) -> Trained:
        model = _faulty_network(task)
        if task.method.unrolled:
            model = unroll(model, task.data.train_inputs[:1])
        half = len(task.data.test_labels) // 2
        parts = Samples(task.data.test_inputs, task.data.test_labels)
        find, choose = (
            _case(task, Samples(*(values[rows] for values in parts)), part)
            for part, rows in enumerate((slice(half), slice(half, None)))
        )
        started = time.perf_counter()
        theatre = Theatre(model, choose)
        failure, success = failure_graphs(model, find.bad, find.good)
        inputs = blamed_inputs(failure, success)
        candidates = _candidates(task, theatre, find, failure_edges(failure, success), inputs)
        choose_one = _most_tolerated if task.method.remedy == BLIND else _best
        chosen = choose_one(theatre, candidates)
        measures = {"seconds": time.perf_counter() - started, "edges": float(chosen.edge_count)}
        return Trained(model, measures, _Mended(theatre, chosen, _auroc(inputs, task.options.neurons)))

    def measure(self, task: Task, trained: Trained, held_out: HeldOut) -> dict[str, float]:
        mended: _Mended = trained.about
        outcome, changed = mended.theatre.outcome(mended.candidate, _case(task, Samples(*held_out), HELD_OUT))
        return {
            "balance": outcome.balance, "failure_rate": outcome.failure_rate, "good_accuracy": outcome.good_accuracy,
            "bad_accuracy": outcome.bad_accuracy, "changed_weights": float(changed),
            "inputs_auroc": mended.inputs_auroc,
        }  # fmt: skip


def _best(theatre: Theatre, candidates: list[Candidate]) -> Candidate:
    return candidates[theatre.best_of(candidates)[0]]


def _most_tolerated(theatre: Theatre, candidates: list[Candidate]) -> Candidate:
    """The largest dose that good samples stand, over all layers or into one."""
    least = theatre.outcome(UNCHANGED, theatre.choose)[0].good_accuracy - TOLERATED
    stood = [dose for dose in candidates if theatre.outcome(dose, theatre.choose)[0].good_accuracy >= least]
    return max(stood, key=lambda dose: dose.edge_count, default=UNCHANGED)


def _faulty_network(task: Task) -> nn.Module:
    options: Options = task.options
    data: TrainingData = task.data
    if options.fault in ("backdoor", "shortcut"):
        put = backdoor if options.fault == "backdoor" else shortcut
        data = put(data, options.neurons, options.target, share=options.share, value=options.value, seed=task.seed)
    model = task.build_model()
    train_stage(model, data, settings_of_task(task, options.epochs), seed=task.seed, stage=1)
    return model.eval()


def _case(task: Task, samples: Samples, part: int) -> Case:
    """Half of the samples with the fault, the other half without; noise is another one in each `part`."""
    options: Options = task.options
    if options.fault in ("backdoor", "shortcut"):
        return patch_case(*samples, options.neurons, options.target, value=options.value, seed=task.seed)
    half = len(samples.labels) // 2
    broken = sensor_fault(
        samples.inputs[:half], options.neurons, options.fault, value=options.value, seed=derive_seed(task.seed, part)
    )  # fmt: skip
    return Case(Samples(broken, samples.labels[:half]), Samples(samples.inputs[half:], samples.labels[half:]))


def _candidates(task: Task, theatre: Theatre, find: Case, edges: pd.DataFrame, inputs: pd.DataFrame) -> list[Candidate]:
    """The doses and learning rates of the cell's remedy. Raises AttrGraphError where it has none."""
    model, steps, remedy = theatre.model, task.options.steps, task.method.remedy
    name = "blamed edges" if remedy == BLIND else remedy.removesuffix(TUNED)
    found: list[Candidate] = [UNCHANGED]
    if name in EDGES:
        found = _edge_candidates(task, theatre, find, edges, name, is_tuned=remedy.endswith(TUNED))
    elif name == "output mask":
        found = remedies.output_masks(model, find, classes_of(model, find))
    elif name == "input mask":
        found = remedies.input_masks(find, inputs)
    elif name != "unchanged":
        found = next(tried for own, tried in remedies.fine_tunings(model, find, steps) if own == name)
    if not found:
        raise AttrGraphError(f"remedy {remedy!r} has nothing to remove: nothing is to blame")
    return found


def _edge_candidates(
    task: Task, theatre: Theatre, find: Case, edges: pd.DataFrame, name: str, is_tuned: bool
) -> list[Candidate]:
    edges = edges[edges["target_layer"].isin(layers_with_edges(theatre.model, find.good.inputs[:1]))]
    blamed = edges[edges["blame"] > 0]
    if blamed.empty:
        raise AttrGraphError("no edge is to blame: none carries more of the failure than of the good samples")
    rankings = {"blamed edges": lambda: blamed, "random edges": lambda: remedies.random_edges(edges, task.seed)}
    rankings["magnitude edges"] = lambda: remedies.magnitude_edges(theatre.model, find, edges)
    ranked = rankings[name]()
    doses = remedies.edge_doses(theatre.model, find, ranked, len(blamed))
    if not is_tuned:
        return doses
    chosen = doses[theatre.best_of(doses)[0]]
    own = ranked[ranked["target_layer"] == chosen.layer] if chosen.layer else ranked
    return remedies.with_fine_tuning(theatre.model, find, own.head(chosen.edge_count), task.options.steps)


def _auroc(inputs: pd.DataFrame, neurons: tuple[int, ...]) -> float:
    """Of blame, between the fault's inputs and the others."""
    is_faulty = inputs["index"].isin(neurons)
    own, others = inputs["blame"][is_faulty], inputs["blame"][~is_faulty]
    return float(mannwhitneyu(own, others).statistic) / (len(own) * len(others))
