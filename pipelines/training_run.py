"""One stage of training, from records to records: the call that the checkpoints asset makes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.history import updated_history
from attrgraph_core.targeting.optimizer_archive import OptimizerArchive
from attrgraph_core.training.data import TrainingData, load_data
from attrgraph_core.training.models import build_model
from attrgraph_core.training.stage import EpochRecord, train_stage
from attrgraph_core.training.weights import load_weights, save_weights
from pipelines.experiments import Experiment
from pipelines.progress import report_progress
from pipelines.records import Checkpoint, CheckpointsRecord, DatasetRecord, NeuronSetRecord
from pipelines.run_folder import run_folder
from pipelines.stage_kind import model_arguments, settings_of, stop_condition, way_of_training

if TYPE_CHECKING:
    import torch
    from torch import nn


def load_checked_data(experiment: Experiment, dataset: DatasetRecord) -> TrainingData:
    """The experiment's data; AttrGraphError where they are no longer those that the run began with."""
    data = load_data(experiment.dataset.factory, experiment.dataset.arguments)
    if data.fingerprint != dataset.fingerprint:
        raise AttrGraphError(
            f"the data of experiment {experiment.name!r} changed since they were recorded "
            f"({dataset.fingerprint[:12]} then, {data.fingerprint[:12]} now); make dataset and all after it again"
        )
    return data


def model_at(experiment: Experiment, seed: int, data: TrainingData, checkpoint: Checkpoint | None) -> "nn.Module":
    """The network of a run: with its first weights, or those of a checkpoint; a thin one where it begins with one."""
    model = build_model(experiment.model.factory, model_arguments(experiment, data), data, seed)
    if checkpoint is not None:
        model.load_state_dict(load_weights(run_folder(experiment.run_id(seed)) / checkpoint.file))
    return model


def history_after(run_id: str, position: int) -> pd.DataFrame | None:
    """When each neuron trained and how far it moved, as stage `position` left it; None before the first."""
    path = _history_path(run_id, position)
    return pd.read_parquet(path) if path.exists() else None


def _history_path(run_id: str, position: int) -> Path:
    return run_folder(run_id) / f"stage_{position}" / "history.parquet"


def archive_after(run_id: str, position: int) -> OptimizerArchive:
    """Optimizer state by neuron as stage `position` left it; empty before the first, and where none was kept."""
    path = _archive_path(run_id, position)
    return OptimizerArchive.load(path) if path.exists() else OptimizerArchive()


def _archive_path(run_id: str, position: int) -> Path:
    return run_folder(run_id) / "optimizer" / f"stage_{position}.safetensors"


def run_stage(
    experiment: Experiment,
    seed: int,
    position: int,
    dataset: DatasetRecord,
    previous: CheckpointsRecord | None,
    chosen: NeuronSetRecord | None,
    device: "torch.device",
    on_checkpoint: Callable[[Checkpoint], None],
) -> CheckpointsRecord:
    """Train stage `position` (from 1), writing the weights of each epoch as it ends, and then the optimizer's state.

    Optimizer state is kept by neuron, of this stage and those before: a neuron selected again goes on where it was.
    """
    data = load_checked_data(experiment, dataset)
    model = model_at(experiment, seed, data, previous.last if previous else None).to(device)
    stage = experiment.stages[position - 1]
    circuit = None
    if chosen is not None and chosen.circuit_file is not None:
        circuit = pd.read_parquet(run_folder(dataset.run_id) / chosen.circuit_file)
    way = way_of_training(
        stage, model, data, seed, chosen.neurons if chosen else None, circuit,
        undo_path=run_folder(dataset.run_id) / f"stage_{position}" / "removed.safetensors",
    )  # fmt: skip
    settings = settings_of(experiment, stage, model, way.neuron_set)
    before = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    checkpoints: list[Checkpoint] = []

    def keep(record: EpochRecord, state: "dict[str, torch.Tensor]") -> None:
        if record.epoch == 0 and previous is not None:
            return
        file = f"stage_{position}/epoch_{record.epoch:03d}.safetensors"
        metadata = {"experiment": experiment.name, "stage": str(position), "epoch": str(record.epoch)}
        save_weights(run_folder(dataset.run_id) / file, state, metadata)
        checkpoint = Checkpoint(
            epoch=record.epoch,
            file=file,
            loss=record.loss,
            accuracy=record.accuracy,
            train_accuracy=record.train_accuracy,
            learning_rate=record.learning_rate,
            seconds=record.seconds,
            flops=record.flops,
        )
        checkpoints.append(checkpoint)
        on_checkpoint(checkpoint)
        report_progress(f"stage {position}: training", record.epoch, stage.epochs, f"accuracy {record.accuracy:.3f}")

    report_progress(f"stage {position}: training", 0, stage.epochs)
    started = time.perf_counter()
    archive = archive_after(dataset.run_id, position - 1)
    result = train_stage(
        model, data, settings, neuron_set=way.neuron_set, entries=way.entries, seed=seed, stage=position, device=device,
        on_epoch=keep, archive=archive, make_peer=way.make_peer, is_done=stop_condition(experiment, stage, data),
    )  # fmt: skip
    history = updated_history(
        history_after(dataset.run_id, position - 1), before, model.cpu().state_dict(),
        way.neuron_set.neurons if way.neuron_set else None, position,
    )  # fmt: skip
    history.to_parquet(_history_path(dataset.run_id, position))
    archive.save(_archive_path(dataset.run_id, position))
    return CheckpointsRecord(
        run_id=dataset.run_id,
        stage=position,
        kind=stage.kind,
        checkpoints=tuple(checkpoints),
        trained_neurons=result.trained_neurons,
        neuron_count=result.neuron_count,
        trained_weights=result.trained_weights,
        weight_count=result.weight_count,
        neuron_set_id=chosen.neuron_set_id if chosen else None,
        seconds=time.perf_counter() - started,
        stopped_early=result.stopped_early,
    )
