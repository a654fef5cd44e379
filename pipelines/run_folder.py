"""The folder of a run: `runs/<run_id>/`, with its records, weights and tables."""

import os
import uuid
from pathlib import Path

from pipelines.experiments import Experiment


def runs_root() -> Path:
    """Where all runs are kept: `ATTRGRAPH_RUNS`, or `runs` in the working directory."""
    return Path(os.environ.get("ATTRGRAPH_RUNS", "runs")).absolute()


def run_folder(run_id: str) -> Path:
    return runs_root() / run_id


def record_path(experiment: Experiment, seed: int, asset: str) -> Path:
    return run_folder(experiment.run_id(seed)) / f"{asset}.json"


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
