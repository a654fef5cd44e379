"""A row a stage of what the runs of an experiment gave, from the records in their folders."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrgraph_core.targeting.policy_spec import policy_name
from pipelines.experiments import Experiment
from pipelines.records import CheckpointsRecord, GraphsRecord
from pipelines.run_folder import record_path

if TYPE_CHECKING:
    import pandas as pd


def summary_table(experiment: Experiment, seeds: Iterable[int]) -> "pd.DataFrame":
    """One row a seed and stage that has run: what was trained, at what cost, and what its graphs hold."""
    import pandas as pd

    rows = [
        row
        for seed in seeds
        for position in range(1, len(experiment.stages) + 1)
        if (row := stage_summary(experiment, seed, position)) is not None
    ]
    return pd.DataFrame(rows)


def stage_summary(experiment: Experiment, seed: int, position: int) -> dict[str, Any] | None:
    """The row of one stage, or None where it has not run."""
    path = record_path(experiment, seed, f"stage_{position}_checkpoints")
    graphs_path = record_path(experiment, seed, f"stage_{position}_attribution_graphs")
    if not (path.exists() and graphs_path.exists()):
        return None
    checkpoints = CheckpointsRecord.model_validate_json(path.read_text(encoding="utf-8"))
    graphs = GraphsRecord.model_validate_json(graphs_path.read_text(encoding="utf-8"))
    stage = experiment.stages[position - 1]
    selection = stage.select
    total = sum(graph.total_edge_count for graph in graphs.graphs)
    last = graphs.last_of("label")
    return {
        "seed": seed,
        "stage": position,
        "policy": policy_name(selection.policy) if selection else _trained_by(stage.kind),
        "trained_neurons": checkpoints.trained_neurons,
        "neurons": checkpoints.neuron_count,
        "weights_trained": checkpoints.trained_weights / checkpoints.weight_count,
        "epochs": checkpoints.last.epoch,
        "accuracy": checkpoints.last.accuracy,
        "training_seconds": checkpoints.seconds,
        "graph_seconds": graphs.attribution_seconds + graphs.writing_seconds,
        "graphs": len(graphs.graphs),
        "graph_neurons": last.node_count,
        "graph_edges": last.edge_count,
        "edges_kept": sum(graph.edge_count for graph in graphs.graphs) / total,
        "completeness_delta": max(graph.completeness_delta for graph in graphs.graphs),
    }


def _trained_by(kind: str) -> str:
    return "all" if kind == "full" else kind


def comparison_table(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Mean and standard deviation over seeds, a row a stage."""
    import pandas as pd

    if runs.empty:
        return pd.DataFrame()
    grouped = runs.groupby(["stage", "policy"])
    return pd.DataFrame(
        {
            "seeds": grouped["seed"].nunique(),
            "accuracy_mean": grouped["accuracy"].mean(),
            "accuracy_std": grouped["accuracy"].std(),
            "weights_trained": grouped["weights_trained"].mean(),
            "training_seconds": grouped["training_seconds"].mean(),
        }
    ).reset_index()
