"""The summary of stages and its means over seeds, from records with numbers worked by hand."""

import math
from pathlib import Path

import pytest

from pipelines.experiments import Experiment, load_experiment
from pipelines.records import Checkpoint, CheckpointsRecord, GraphsRecord, SavedGraph
from pipelines.run_folder import record_path, write_atomically
from pipelines.summary import comparison_table, stage_summary, summary_table


@pytest.fixture
def experiment(small_experiment: Path) -> Experiment:
    return load_experiment(small_experiment)


def write_stage(experiment: Experiment, seed: int, position: int, accuracy: float, seconds: float) -> None:
    """Records of a stage that trained a quarter of 800 weights for two epochs and kept a third of its edges."""

    def checkpoint(epoch: int, accuracy: float) -> Checkpoint:
        return Checkpoint(
            epoch=epoch, file=f"epoch_{epoch}", loss=1.0, accuracy=accuracy, train_accuracy=0.5, learning_rate=0.1,
            seconds=1.0,
        )  # fmt: skip

    def graph(epoch: int, target: str, edges: int, delta: float) -> SavedGraph:
        return SavedGraph(
            graph_id=f"{epoch}/{target}", epoch=epoch, target=target, node_count=20 + epoch, edge_count=edges,
            total_edge_count=60, kept_mass=0.8, completeness_delta=delta,
        )  # fmt: skip

    run_id = experiment.run_id(seed)
    checkpoints = CheckpointsRecord(
        run_id=run_id, stage=position, kind="full", checkpoints=(checkpoint(1, 0.1), checkpoint(2, accuracy)),
        trained_neurons=5, neuron_count=30, trained_weights=200, weight_count=800, neuron_set_id=None, seconds=seconds,
    )  # fmt: skip
    graphs = GraphsRecord(
        run_id=run_id, stage=position, attribution_seconds=0.5, writing_seconds=0.25,
        graphs=(
            graph(1, "label", 10, 1e-6), graph(1, "class:0", 20, 3e-6), graph(2, "label", 15, 2e-6),
            graph(2, "class:0", 35, 0.0),
        ),
    )  # fmt: skip
    for record, name in ((checkpoints, "checkpoints"), (graphs, "attribution_graphs")):
        write_atomically(record_path(experiment, seed, f"stage_{position}_{name}"), record.model_dump_json())


def test_the_row_of_a_stage(experiment: Experiment):
    write_stage(experiment, seed=0, position=2, accuracy=0.75, seconds=4.0)
    assert stage_summary(experiment, 0, 2) == {
        "seed": 0,
        "stage": 2,
        "policy": "top_influence",
        "trained_neurons": 5,
        "neurons": 30,
        "weights_trained": 0.25,
        "epochs": 2,
        "accuracy": 0.75,
        "training_seconds": 4.0,
        "graph_seconds": 0.75,
        "graphs": 4,
        "graph_neurons": 22,  # of the last epoch's graph of the true class, as its edges
        "graph_edges": 15,
        "edges_kept": 80 / 240,
        "completeness_delta": 3e-6,
    }


def test_a_stage_without_both_records_has_no_row(experiment: Experiment):
    assert stage_summary(experiment, 0, 1) is None
    write_stage(experiment, 0, 1, accuracy=0.5, seconds=1.0)
    record_path(experiment, 0, "stage_1_attribution_graphs").unlink()
    assert stage_summary(experiment, 0, 1) is None
    assert summary_table(experiment, experiment.seeds).empty
    assert comparison_table(summary_table(experiment, experiment.seeds)).empty


def test_means_and_deviations_over_seeds(experiment: Experiment):
    write_stage(experiment, seed=0, position=1, accuracy=0.5, seconds=1.0)
    write_stage(experiment, seed=1, position=1, accuracy=0.75, seconds=3.0)
    write_stage(experiment, seed=1, position=2, accuracy=0.875, seconds=2.0)
    runs = summary_table(experiment, experiment.seeds)
    assert list(zip(runs["seed"], runs["stage"], runs["policy"], strict=True)) == [
        (0, 1, "all"),
        (1, 1, "all"),
        (1, 2, "top_influence"),
    ]
    first, second = comparison_table(runs).to_dict("records")
    assert math.isnan(second.pop("accuracy_std"))  # of a single seed
    assert first == {
        "stage": 1, "policy": "all", "seeds": 2, "accuracy_mean": 0.625, "accuracy_std": 0.125 * math.sqrt(2),
        "weights_trained": 0.25, "training_seconds": 2.0,
    }  # fmt: skip
    assert second == {
        "stage": 2, "policy": "top_influence", "seeds": 1, "accuracy_mean": 0.875, "weights_trained": 0.25,
        "training_seconds": 2.0,
    }  # fmt: skip
