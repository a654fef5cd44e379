"""Partition keys, and the partitions of a folder of experiments as Dagster has them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.partitions import experiment_and_seed, parse_partition_key, partition_key


@pytest.mark.parametrize("name", ["digits", "a_seed_1", "x2"])
@pytest.mark.parametrize("seed", [0, 17])
def test_a_key_names_an_experiment_and_a_seed(name: str, seed: int):
    assert partition_key(name, seed) == f"{name}-seed-{seed}"
    assert parse_partition_key(partition_key(name, seed)) == (name, seed)


def test_the_experiment_of_a_key():
    experiment, seed = experiment_and_seed("digits-seed-0")
    assert (experiment.name, seed) == ("digits", 0)


def test_a_folder_of_experiments(small_experiment: Path):
    """In a process of its own: partitions are made when the module is imported."""
    text = small_experiment.read_text(encoding="utf-8")
    single = text.replace("name: small", "name: single").replace("seeds: [0, 1]", "seeds: [4]")
    (small_experiment.parent / "single.yaml").write_text(single.partition("  - epochs: 1\n")[0], encoding="utf-8")
    script = """
import json
from pipelines import partitions
mapping = partitions.runs_of_experiment
of_small = mapping.get_upstream_mapped_partitions_result_for_partitions(
    partitions.experiment_partitions.subset_with_partition_keys(["small"]),
    partitions.experiment_partitions, partitions.run_partitions,
)
print(json.dumps({
    "experiments": partitions.experiment_partitions.get_partition_keys(),
    "runs": partitions.run_partitions.get_partition_keys(),
    "runs_of_small": sorted(of_small.partitions_subset.get_partition_keys()),
    "stage_count": partitions.STAGE_COUNT,
}))
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout) == {
        "experiments": ["single", "small"],
        "runs": ["single-seed-4", "small-seed-0", "small-seed-1"],
        "runs_of_small": ["small-seed-0", "small-seed-1"],
        "stage_count": 2,
    }
