"""The assets of every stage, built from those of the stage before: Dagster's graph has no cycles, so the loop unrolls.

An experiment with fewer stages than the longest one leaves out the outputs of the stages it has not, and Dagster skips
what follows from them.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines.code_version import code_version
from pipelines.epochs import observe_epoch, observe_graphs
from pipelines.experiments import Experiment
from pipelines.failures import failures_named
from pipelines.partitions import experiment_and_seed, run_partitions
from pipelines.pictures import (
    draw_epochs,
    draw_input_influence,
    draw_strongest_edges,
    picture_metadata,
    table_metadata,
)
from pipelines.records import CheckpointsRecord, CircuitsRecord, DatasetRecord, GraphsRecord, NeuronSetRecord
from pipelines.resources import DeviceResource, GraphStoreResource
from pipelines.run_lock import run_lock
from pipelines.run_tag import tag_run

CODE_VERSION = "3"


def stage_assets(position: int, is_last: bool) -> list[dg.AssetsDefinition]:
    """The assets of stage `position` (from 1); the last one chooses no neurons for a stage after it."""
    assets = [checkpoints_asset(position), attribution_graphs_asset(position), circuits_asset(position)]
    return assets if is_last else [*assets, neuron_set_asset(position)]


def _asset_arguments(position: int, name: str, kinds: set[str], **more: Any) -> dict[str, Any]:
    return {
        "name": f"stage_{position}_{name}",
        "group_name": f"stage_{position}",
        "kinds": kinds,
        "owners": ["team:attrgraph"],
        "tags": {"attrgraph/stage": str(position)},
        "partitions_def": run_partitions,
        "io_manager_key": "records",
        "code_version": CODE_VERSION,
        "output_required": False,
    } | more


def _outputs(experiment: Experiment, position: int) -> bool:
    return position <= len(experiment.stages)


def checkpoints_asset(position: int) -> dg.AssetsDefinition:
    upstream = {"dataset": dg.AssetIn("dataset")}
    if position > 1:
        upstream["previous"] = dg.AssetIn(f"stage_{position - 1}_checkpoints")
        upstream["chosen"] = dg.AssetIn(f"stage_{position - 1}_neuron_set")

    def train(
        context: dg.AssetExecutionContext,
        device: DeviceResource,
        dataset: DatasetRecord,
        previous: CheckpointsRecord | None = None,
        chosen: NeuronSetRecord | None = None,
    ) -> Iterator[dg.Output[CheckpointsRecord]]:
        from pipelines.training_run import run_stage

        experiment, seed = experiment_and_seed(context.partition_key)
        if not _outputs(experiment, position):
            return
        with failures_named(), run_lock(dataset.run_id):
            record = run_stage(
                experiment, seed, position, dataset, previous, chosen, device.choose(),
                on_checkpoint=lambda checkpoint: observe_epoch(context, checkpoint),
            )  # fmt: skip
        shown = record.checkpoints
        figure = draw_epochs([c.epoch for c in shown], [c.loss for c in shown], [c.accuracy for c in shown])
        yield dg.Output(
            record,
            metadata={
                "kind": record.kind,
                "accuracy": record.last.accuracy,
                "loss": record.last.loss,
                "epochs": record.last.epoch,
                "trained_neurons": record.trained_neurons,
                "share_of_weights_trained": record.trained_weights / record.weight_count,
                "seconds": record.seconds,
                "flops": sum(checkpoint.flops for checkpoint in record.checkpoints),
                "stopped_early": record.stopped_early,
                "epochs_picture": picture_metadata(figure),
            },
        )

    if position == 1:

        @dg.asset(
            **_asset_arguments(position, "checkpoints", {"pytorch"}), ins=upstream, pool="gpu", description=_CHECKPOINTS
        )
        def checkpoints(
            context: dg.AssetExecutionContext, device: DeviceResource, dataset: DatasetRecord
        ) -> Iterator[dg.Output[CheckpointsRecord]]:
            yield from train(context, device, dataset)

        return checkpoints

    @dg.asset(
        **_asset_arguments(position, "checkpoints", {"pytorch"}), ins=upstream, pool="gpu", description=_CHECKPOINTS
    )
    def targeted_checkpoints(
        context: dg.AssetExecutionContext,
        device: DeviceResource,
        dataset: DatasetRecord,
        previous: CheckpointsRecord,
        chosen: NeuronSetRecord,
    ) -> Iterator[dg.Output[CheckpointsRecord]]:
        yield from train(context, device, dataset, previous, chosen)

    return targeted_checkpoints


_CHECKPOINTS = (
    "The network's weights at the end of every epoch of this stage, as safetensors files in the run's folder."
)


def attribution_graphs_asset(position: int) -> dg.AssetsDefinition:
    @dg.asset(
        **_asset_arguments(position, "attribution_graphs", {"captum", "neo4j"}),
        ins={"dataset": dg.AssetIn("dataset"), "checkpoints": dg.AssetIn(f"stage_{position}_checkpoints")},
        description="The attribution graphs of every epoch, in Neo4j: one a class, and one of the true class.",
    )
    def attribution_graphs(
        context: dg.AssetExecutionContext,
        device: DeviceResource,
        graph_store: GraphStoreResource,
        dataset: DatasetRecord,
        checkpoints: CheckpointsRecord,
    ) -> Iterator[dg.Output[GraphsRecord]]:
        from pipelines.graph_run import run_graphs

        experiment, seed = experiment_and_seed(context.partition_key)
        if not _outputs(experiment, position):
            return
        tag_run(context, dataset.run_id)
        with failures_named(), run_lock(dataset.run_id), graph_store.open() as store:
            store.save_run(
                dataset.run_id, experiment.name, seed, experiment.config_hash, code_version(), status="running",
                configuration=experiment.run_configuration, dagster_run_id=context.run_id,
                makes_run=position == 1,  # later it was there, and may have been deleted meanwhile
            )  # fmt: skip
            store.save_stage(
                dataset.run_id, position, checkpoints.kind,
                trained_neurons=checkpoints.trained_neurons, trained_weights=checkpoints.trained_weights,
                seconds=checkpoints.seconds, dagster_run_id=context.run_id,
            )  # fmt: skip
            if checkpoints.neuron_set_id is not None:
                store.save_training(dataset.run_id, position, checkpoints.neuron_set_id)
            record, last = run_graphs(
                experiment, seed, dataset, checkpoints, store, device.choose(),
                on_epoch=lambda epoch, graphs: observe_graphs(context, epoch, graphs),
            )  # fmt: skip
        label = last["label"]
        inputs = label.neurons[label.neurons["layer"] == "input"]["attribution"].to_numpy()
        final = record.last_of("label")
        yield dg.Output(
            record,
            metadata={
                "run_id": dataset.run_id,
                "graphs": len(record.graphs),
                "edges": sum(graph.edge_count for graph in record.graphs),
                "kept_mass": final.kept_mass,
                "completeness_delta": max(graph.completeness_delta for graph in record.graphs),
                "attribution_seconds": record.attribution_seconds,
                "writing_seconds": record.writing_seconds,
                "edges_written_per_second": sum(g.edge_count for g in record.graphs) / record.writing_seconds,
                "graph_id": final.graph_id,
                "graph_picture": picture_metadata(draw_strongest_edges(label, dataset.input_shape, final.graph_id)),
                "input_picture": picture_metadata(
                    draw_input_influence(inputs, dataset.input_shape, "attribution of the inputs, true class")
                ),
            },
        )

    return attribution_graphs


def circuits_asset(position: int) -> dg.AssetsDefinition:
    @dg.asset(
        **_asset_arguments(position, "circuits", {"neo4j", "cypher"}),
        ins={"graphs": dg.AssetIn(f"stage_{position}_attribution_graphs")},
        description="What the experiment's Cypher queries returned from this stage's last graphs.",
    )
    def circuits(
        context: dg.AssetExecutionContext, graph_store: GraphStoreResource, graphs: GraphsRecord
    ) -> Iterator[dg.Output[CircuitsRecord]]:
        from attrgraph_core.store.queries import load_query
        from pipelines.circuit_run import run_circuits

        experiment, _ = experiment_and_seed(context.partition_key)
        if not _outputs(experiment, position):
            return
        with failures_named(), run_lock(graphs.run_id), graph_store.open() as store:
            record, tables = run_circuits(experiment, graphs, store)
            if position == len(experiment.stages):
                store.finish_run(graphs.run_id, "complete")
        metadata: dict[str, Any] = {name: table_metadata(table) for name, table in tables.items()}
        for circuit in record.circuits:
            metadata[f"cypher of {circuit.query}"] = dg.MetadataValue.md(
                f"```cypher\n{load_query(circuit.query).text}\n```"
            )
        yield dg.Output(record, metadata=metadata | {"circuits": len(record.circuits)})

    return circuits


def neuron_set_asset(position: int) -> dg.AssetsDefinition:
    @dg.asset(
        **_asset_arguments(position, "neuron_set", {"pandas"}),
        ins={
            "dataset": dg.AssetIn("dataset"),
            "checkpoints": dg.AssetIn(f"stage_{position}_checkpoints"),
            "graphs": dg.AssetIn(f"stage_{position}_attribution_graphs"),
            "circuits": dg.AssetIn(f"stage_{position}_circuits"),
        },
        description="The neurons that the next stage trains, chosen by its policy from what its query returned.",
    )
    def neuron_set(
        context: dg.AssetExecutionContext,
        graph_store: GraphStoreResource,
        dataset: DatasetRecord,
        checkpoints: CheckpointsRecord,
        graphs: GraphsRecord,
        circuits: CircuitsRecord,
    ) -> Iterator[dg.Output[NeuronSetRecord]]:
        from pipelines.circuit_run import run_selection

        experiment, seed = experiment_and_seed(context.partition_key)
        if position >= len(experiment.stages):
            return
        with failures_named(), run_lock(dataset.run_id), graph_store.open() as store:
            record, candidates = run_selection(experiment, seed, dataset, checkpoints, graphs, circuits, store)
        chosen = candidates[candidates["chosen"]].sort_values("influence", ascending=False)
        yield dg.Output(
            record,
            metadata={
                "neurons": sum(map(len, record.neurons.values())),
                "policy": record.policy,
                "budget": record.budget,
                "scoring_flops": record.scoring_flops,
                "set_hash": record.set_hash,
                "mean_influence_of_chosen": float(chosen["influence"].mean()),
                "mean_influence_of_all": float(candidates["influence"].mean()),
                "chosen": table_metadata(chosen, rows=40),
            },
            data_version=dg.DataVersion(record.set_hash),
        )

    return neuron_set
