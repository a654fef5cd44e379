"""Partitions: one a run (experiment and seed), and one an experiment."""

import dagster as dg

from pipelines.experiments import Experiment, load_experiments

SEPARATOR = "-seed-"


def partition_key(experiment: str, seed: int) -> str:
    return f"{experiment}{SEPARATOR}{seed}"


def parse_partition_key(key: str) -> tuple[str, int]:
    """Experiment name and seed of a run's partition."""
    name, _, seed = key.rpartition(SEPARATOR)
    return name, int(seed)


EXPERIMENTS: dict[str, Experiment] = load_experiments()
RUN_KEYS = [partition_key(name, seed) for name, experiment in EXPERIMENTS.items() for seed in experiment.seeds]
STAGE_COUNT = max(len(experiment.stages) for experiment in EXPERIMENTS.values())

run_partitions = dg.StaticPartitionsDefinition(RUN_KEYS)
experiment_partitions = dg.StaticPartitionsDefinition(list(EXPERIMENTS))
runs_of_experiment = dg.StaticPartitionMapping({key: parse_partition_key(key)[0] for key in RUN_KEYS})


def experiment_and_seed(key: str) -> tuple[Experiment, int]:
    name, seed = parse_partition_key(key)
    return EXPERIMENTS[name], seed
