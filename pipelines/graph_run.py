"""The graphs of a stage, from its checkpoints into Neo4j: the call that the attribution graphs asset makes."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from attrgraph_core import AttributionGraph, EdgeLimits, attribute_dataset
from attrgraph_core.training.counted_flops import counted_flops
from pipelines.attribution_sample import baseline_of, sample_of
from pipelines.experiments import Experiment
from pipelines.progress import report_progress
from pipelines.records import Checkpoint, CheckpointsRecord, DatasetRecord, GraphsRecord, SavedGraph
from pipelines.training_run import load_checked_data, model_at

if TYPE_CHECKING:
    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.store.graph_writer import StoredGraph

BATCH_SIZE = 512


def attribute_checkpoint(
    experiment: Experiment, model: torch.nn.Module, inputs: torch.Tensor, labels: torch.Tensor
) -> dict[str, AttributionGraph]:
    """The graphs of one network by target: each class, and the true class."""
    settings = experiment.attribution
    batches = zip(inputs.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True)
    return attribute_dataset(
        model, batches, "all", method=settings.method, baseline=baseline_of(experiment, inputs),
        keep=EdgeLimits(settings.edge_mass, settings.max_edges_per_neuron),
    )  # fmt: skip


def run_graphs(
    experiment: Experiment,
    seed: int,
    dataset: DatasetRecord,
    stage: CheckpointsRecord,
    store: "GraphStore",
    device: torch.device,
    on_epoch: Callable[[int, list[SavedGraph]], None],
) -> tuple[GraphsRecord, dict[str, AttributionGraph]]:
    """Attribute every epoch of a stage and keep its graphs; also gives the last epoch's graphs, whole."""
    data = load_checked_data(experiment, dataset)
    inputs, labels = sample_of(experiment, data)
    saved: list[SavedGraph] = []
    attribution_seconds = writing_seconds = 0.0
    flops = 0
    graphs: dict[str, AttributionGraph] = {}
    what = f"stage {stage.stage}: attribution graphs"
    report_progress(what, 0, len(stage.checkpoints))
    for done, checkpoint in enumerate(stage.checkpoints, start=1):
        model = model_at(experiment, seed, data, checkpoint).to(device)
        started = time.perf_counter()
        with counted_flops() as counted:
            graphs = attribute_checkpoint(experiment, model, inputs, labels)
        flops = counted.flops
        attributed = time.perf_counter()
        entries = [
            SavedGraph(
                epoch=checkpoint.epoch, **asdict(_save(experiment, graph, dataset.run_id, stage, checkpoint, store))
            )
            for graph in graphs.values()
        ]
        attribution_seconds += attributed - started
        writing_seconds += time.perf_counter() - attributed
        saved += entries
        on_epoch(checkpoint.epoch, entries)
        edges = sum(entry.edge_count for entry in entries)
        report_progress(what, done, len(stage.checkpoints), f"{len(entries)} graphs, {edges} edges")
    record = GraphsRecord(
        run_id=dataset.run_id,
        stage=stage.stage,
        graphs=tuple(saved),
        attribution_seconds=attribution_seconds,
        writing_seconds=writing_seconds,
        last_epoch_flops=flops,
    )
    return record, graphs


def _save(
    experiment: Experiment,
    graph: AttributionGraph,
    run_id: str,
    stage: CheckpointsRecord,
    checkpoint: Checkpoint,
    store: "GraphStore",
) -> "StoredGraph":
    return store.save(
        graph,
        run_id=run_id,
        stage=stage.stage,
        epoch=checkpoint.epoch,
        loss=checkpoint.loss,
        accuracy=checkpoint.accuracy,
        edge_mass=experiment.attribution.edge_mass,
        max_edges_per_neuron=experiment.attribution.max_edges_per_neuron,
        makes_run=False,  # it may have been deleted meanwhile
    )
