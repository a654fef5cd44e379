"""What is shown of an epoch: an observation, which Dagster plots."""

import dagster as dg

from pipelines.records import Checkpoint, SavedGraph


def observe_epoch(context: dg.AssetExecutionContext, checkpoint: Checkpoint) -> None:
    """An event on the checkpoints; its numbers are plotted under Plots > Events."""
    context.log_event(
        dg.AssetObservation(
            asset_key=context.asset_key,
            partition=context.partition_key,
            metadata={
                "epoch": checkpoint.epoch,
                "epoch_loss": checkpoint.loss,
                "epoch_accuracy": checkpoint.accuracy,
                "epoch_train_accuracy": checkpoint.train_accuracy,
                "epoch_learning_rate": checkpoint.learning_rate,
                "epoch_seconds": checkpoint.seconds,
            },
        )
    )


def observe_graphs(context: dg.AssetExecutionContext, epoch: int, graphs: list[SavedGraph]) -> None:
    """An event on the attribution graphs: size, kept mass and completeness of an epoch's graphs."""
    context.log_event(
        dg.AssetObservation(
            asset_key=context.asset_key,
            partition=context.partition_key,
            metadata={
                "epoch": epoch,
                "epoch_edges": sum(graph.edge_count for graph in graphs),
                "epoch_kept_mass": min(graph.kept_mass for graph in graphs),
                "epoch_completeness_delta": max(graph.completeness_delta for graph in graphs),
            },
        )
    )
