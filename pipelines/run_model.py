"""The network of a run as it was after an epoch, from what the store knows of the run and its folder holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.unrolling import unroll
from attrgraph_core.training.data import TrainingData, load_data
from attrgraph_core.training.models import build_model
from attrgraph_core.training.weights import load_weights
from pipelines.experiments import Attribution
from pipelines.records import Checkpoint, CheckpointsRecord, DatasetRecord
from pipelines.run_folder import run_folder

if TYPE_CHECKING:
    from torch import nn

    from attrgraph_core.store.graph_store import GraphStore


@dataclass(frozen=True, eq=False)
class RunModel:
    """A run's network after an epoch of a stage, the run's data, and how it is attributed.

    `file` holds the network's weights; `is_unrolled` says that `model` has them position by position (`unroll`).
    """

    run_id: str
    stage: int
    epoch: int
    file: Path
    model: "nn.Module"
    data: TrainingData
    attribution: Attribution
    is_unrolled: bool = False


def open_run(
    store: "GraphStore", given: str, stage: int | None = None, epoch: int | None = None, unrolled: bool = False
) -> RunModel:
    """The network of the run of this id or name: after its last epoch, or after another of a stage, or of any.

    With `unrolled` its convolutions are unrolled. Raises AttrGraphError for a run whose weights are not in the folder
    of runs, an epoch that is not there, data that are no longer those of the run, and what `unroll` refuses.
    """
    run_id = store.find_run(given)
    properties, _ = store.describe_run(run_id)
    found, checkpoint = _checkpoint(run_id, stage, epoch)
    data, model = _network(run_id, properties["configuration"], int(properties["seed"]))
    file = run_folder(run_id) / checkpoint.file
    model.load_state_dict(load_weights(file))
    attribution = Attribution.model_validate(properties["configuration"].get("attribution", {}))
    if unrolled:
        model = unroll(model, data.test_inputs[:1])
    return RunModel(run_id, found, checkpoint.epoch, file, model.eval(), data, attribution, unrolled)


def checkpoints_of(run_id: str) -> list[tuple[int, Checkpoint]]:
    """All epochs of a run with their stage, in order. Raises AttrGraphError where there are none."""
    folder, found = run_folder(run_id), []
    for stage in range(1, 1000):
        path = folder / f"stage_{stage}_checkpoints.json"
        if not path.exists():
            break
        record = CheckpointsRecord.model_validate_json(path.read_text(encoding="utf-8"))
        found += [(stage, checkpoint) for checkpoint in record.checkpoints]
    if not found:
        raise AttrGraphError(f"{folder} holds no weights of run {run_id!r}; set ATTRGRAPH_RUNS to where they are")
    return found


def _checkpoint(run_id: str, stage: int | None, epoch: int | None) -> tuple[int, Checkpoint]:
    every = checkpoints_of(run_id)
    found = [(s, c) for s, c in every if stage in (None, s) and epoch in (None, c.epoch)]
    if not found:
        asked = ", ".join(
            f"{name} {value}" for name, value in (("stage", stage), ("epoch", epoch)) if value is not None
        )
        last = every[-1]
        raise AttrGraphError(f"run {run_id!r} has no {asked}; its last is epoch {last[1].epoch} of stage {last[0]}")
    return found[-1]


def _network(run_id: str, configuration: Mapping[str, Any], seed: int) -> "tuple[TrainingData, nn.Module]":
    if not {"dataset", "model"} <= configuration.keys():
        raise AttrGraphError(f"run {run_id!r} does not say which data and network it is of; it was not made by a file")
    data = load_data(configuration["dataset"]["factory"], configuration["dataset"]["arguments"])
    path = run_folder(run_id) / "dataset.json"
    if path.exists():
        recorded = DatasetRecord.model_validate_json(path.read_text(encoding="utf-8"))
        if recorded.fingerprint != data.fingerprint:
            raise AttrGraphError(f"the data of run {run_id!r} are no longer those that it was trained on")
    model = configuration["model"]
    return data, build_model(model["factory"], model["arguments"], data, seed)
