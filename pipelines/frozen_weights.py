"""What a stage had to leave as it was, and whether it did: asked of the weights on disk."""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

from attrgraph_core.training.data import load_data
from attrgraph_core.training.weights import load_weights
from pipelines.experiments import Experiment
from pipelines.records import CheckpointsRecord, NeuronSetRecord
from pipelines.run_folder import run_folder
from pipelines.stage_kind import entries_of_circuit
from pipelines.training_run import model_at


def frozen_that_moved(
    experiment: Experiment,
    seed: int,
    checkpoints: CheckpointsRecord,
    previous: CheckpointsRecord,
    chosen: NeuronSetRecord,
) -> list[str]:
    """The parameters and statistics of which something moved, by a bit or more, that the stage was not to train.

    For stages that train the rows of neurons, or the weights of a circuit's edges.
    """
    before = load_weights(run_folder(previous.run_id) / previous.last.file)
    after = load_weights(run_folder(checkpoints.run_id) / checkpoints.last.file)
    trained = {name: torch.zeros(tensor.shape, dtype=torch.bool) for name, tensor in before.items()}
    if checkpoints.kind == "edges":
        _mark_entries(trained, experiment, seed, previous, chosen)
    else:
        _mark_rows(trained, chosen)
    return [name for name, own in trained.items() if not torch.equal(after[name][~own], before[name][~own])]


def _mark_rows(trained: Mapping[str, Tensor], chosen: NeuronSetRecord) -> None:
    for layer, neurons in chosen.neurons.items():
        for parameter in ("weight", "bias"):
            if f"{layer}.{parameter}" in trained:
                trained[f"{layer}.{parameter}"][list(neurons)] = True


def _mark_entries(
    trained: Mapping[str, Tensor],
    experiment: Experiment,
    seed: int,
    previous: CheckpointsRecord,
    chosen: NeuronSetRecord,
) -> None:
    assert chosen.circuit_file is not None, "a stage of edges follows the choice of its circuit"
    data = load_data(experiment.dataset.factory, experiment.dataset.arguments)
    model = model_at(experiment, seed, data, previous.last)
    circuit = pd.read_parquet(run_folder(chosen.run_id) / chosen.circuit_file)
    entries = entries_of_circuit(experiment.stages[previous.stage], model, data, circuit)
    for name in entries.positions:
        trained[name][entries.indices(name, trained[name])] = True
