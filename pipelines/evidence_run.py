"""Measuring a stage's circuits on held-out samples: the call that the checks of circuits make."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from attrgraph_core.attribution.sample import attribution_sample
from attrgraph_core.circuits.circuit import circuit_of
from attrgraph_core.circuits.matching import match_neurons
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.evidence.evidence import Evidence, GraphEvidence, graph_evidence
from attrgraph_core.training.data import TrainingData
from pipelines.attribution_sample import baseline_of, sample_of
from pipelines.experiments import Experiment
from pipelines.records import CheckpointsRecord, CircuitsRecord, DatasetRecord, FoundCircuit
from pipelines.run_folder import record_path, run_folder
from pipelines.training_run import load_checked_data, model_at

if TYPE_CHECKING:
    from attrgraph_core.store.graph_store import GraphStore


@dataclass(frozen=True)
class Measured:
    """A circuit's evidence, or why there is none; `seed_stability` where another seed of the experiment has run."""

    circuit: FoundCircuit
    evidence: Evidence | None
    seed_stability: float | None = None
    reason: str = ""


def run_evidence(
    experiment: Experiment,
    seed: int,
    dataset: DatasetRecord,
    checkpoints: CheckpointsRecord,
    circuits: CircuitsRecord,
    store: "GraphStore",
) -> list[Measured]:
    """Measure the circuits of a stage and keep what was found in their properties."""
    data = load_checked_data(experiment, dataset)
    model = model_at(experiment, seed, data, checkpoints.last)
    save_matches(experiment, seed, data, checkpoints, model, store)
    measured: list[Measured] = []
    ordered = sorted(circuits.circuits, key=lambda circuit: circuit.graph_id)
    for graph_id, found in groupby(ordered, key=lambda circuit: circuit.graph_id):
        measured += _of_graph(experiment, data, model, graph_id, list(found), store)
    return measured


def _of_graph(
    experiment: Experiment,
    data: TrainingData,
    model: torch.nn.Module,
    graph_id: str,
    found: list[FoundCircuit],
    store: "GraphStore",
) -> Iterator[Measured]:
    try:
        evidence = _graph_evidence(experiment, data, model, graph_id, store)
    except AttrGraphError as error:
        yield from (Measured(circuit, None, reason=str(error)) for circuit in found)
        return
    for circuit in found:
        table = pd.read_parquet(run_folder(circuit_run(circuit)) / circuit.file)
        try:
            own = evidence.of(circuit_of(table))
        except AttrGraphError as error:
            yield Measured(circuit, None, reason=str(error))
            continue
        others = store.query("circuit_in_other_seeds", circuit_id=circuit.circuit_id)
        stability = float(others["jaccard"].mean()) if len(others) else None
        known = {} if stability is None else {"seed_stability": stability}
        store.save_evidence(circuit.circuit_id, own.properties() | known)
        yield Measured(circuit, own, stability)


def circuit_run(circuit: FoundCircuit) -> str:
    """The id of the run that a circuit's graph is of."""
    return circuit.graph_id.partition("/")[0]


def _graph_evidence(
    experiment: Experiment, data: TrainingData, model: torch.nn.Module, graph_id: str, store: "GraphStore"
) -> GraphEvidence:
    graph = store.graph(graph_id)
    reference, labels = held_out(experiment, data)
    inputs, targets = of_target(graph.target, reference, labels)
    return graph_evidence(
        model, graph, inputs, targets, kind=experiment.evidence.ablation, reference=reference,
        baseline=baseline_of(experiment, sample_of(experiment, data)[0]),
    )  # fmt: skip


def held_out(experiment: Experiment, data: TrainingData) -> tuple[Tensor, Tensor]:
    """Inputs and labels of the samples of the test set that circuits are measured on: the same for every seed."""
    labels = data.test_labels.numpy()
    chosen = attribution_sample(labels, max(experiment.evidence.samples, len(set(labels.tolist()))), seed=0)
    return data.test_inputs[chosen], data.test_labels[chosen]


def of_target(target: str, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The samples that a graph's target explains: of class c those of the class. AttrGraphError for fewer than two."""
    if not target.startswith("class:"):
        return inputs, labels
    own = labels == int(target.removeprefix("class:"))
    if int(own.sum()) < 2:
        raise AttrGraphError(f"fewer than two held-out samples are of {target}; raise evidence.samples")
    return inputs[own], labels[own]


def save_matches(
    experiment: Experiment,
    seed: int,
    data: TrainingData,
    checkpoints: CheckpointsRecord,
    model: torch.nn.Module,
    store: "GraphStore",
) -> None:
    """Match this run's neurons with those of the experiment's other seeds that came as far, and keep the matches."""
    stored = set(store.graphs()["run_id"]) if len(experiment.seeds) > 1 else set()
    for other in experiment.seeds:
        path = record_path(experiment, other, f"stage_{checkpoints.stage}_checkpoints")
        if other == seed or not path.is_file() or experiment.run_id(other) not in stored:
            continue
        record = CheckpointsRecord.model_validate_json(path.read_text(encoding="utf-8"))
        twin = model_at(experiment, other, data, record.last)
        matches = match_neurons(model, twin, held_out(experiment, data)[0])
        store.save_matches(experiment.run_id(seed), experiment.run_id(other), matches)
