"""A small experiment in a folder of its own, and runs of it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attrgraph_core.store.connection import Connection

SMALL_EXPERIMENT = """\
name: small
seeds: [0, 1]
dataset: {factory: digits}
model: {factory: mlp, arguments: {hidden: [12, 8]}}
training: {learning_rate: 0.02, weight_decay: 0.1, batch_size: 128}
attribution: {samples: 40, edge_mass: 0.8, max_edges_per_neuron: 16}
queries:
  - {query: strongest_paths, target: "class:3", parameters: {top_k: 5}}
stages:
  - epochs: 2
  - epochs: 1
    select: {query: neuron_influence, policy: top_influence, budget: 0.25}
"""


@pytest.fixture
def small_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a two-stage experiment, alone in its folder; runs and history go beside it."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    path = folder / "small.yaml"
    path.write_text(SMALL_EXPERIMENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATTRGRAPH_EXPERIMENTS", str(folder))
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return path


def with_stages(path: Path, stages: str) -> Path:
    """The experiment file of one seed with other stages."""
    text = path.read_text(encoding="utf-8").partition("stages:")[0].replace("[0, 1]", "[0]")
    path.write_text(text + stages, encoding="utf-8")
    return path


@pytest.fixture
def run_with_stages(small_experiment: Path, environment_store: Connection) -> Callable[[str], Path]:
    """`attrgraph run` of the small experiment with other stages, in a process of its own; gives the run's folder."""

    def run(stages: str) -> Path:
        with_stages(small_experiment, stages)
        command = [sys.executable, "-m", "attrgraph_cli.main", "run", "small"]
        finished = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr + finished.stdout
        (folder,) = (small_experiment.parents[1] / "runs").glob("small-seed-0-*")
        return folder

    return run
