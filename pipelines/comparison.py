"""Ways of training compared at equal epochs and at equal compute, over seeds.

Compute is counted: FLOPs of forward and backward of every step, and of every score that neurons were chosen by, the
graph among them. At equal epochs all variants are read after as many epochs as the shortest has; at equal compute after
the last epoch that is not beyond what the cheapest spends in all. Nothing is read between epochs, and no epoch is
chosen by its accuracy.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.data import TrainingData, load_data
from attrgraph_core.training.models import build_model
from pipelines.comparison_file import Comparison
from pipelines.experiments import Experiment
from pipelines.progress import report_progress
from pipelines.run_folder import runs_root
from pipelines.stage_kind import model_arguments
from pipelines.variant_training import train_variant

if TYPE_CHECKING:
    import torch

COLUMNS = ["variant", "seed", "epoch", "stage", "kind", "accuracy", "loss", "flops", "scoring_flops", "seconds"]


def run_comparison(
    comparison: Comparison, seeds: tuple[int, ...], device: "torch.device", *, fresh: bool = False
) -> pd.DataFrame:
    """A row a variant, seed and epoch (0 is before any step), with `COLUMNS`; kept as `curves.parquet`.

    A variant and seed that was trained before, of the same configuration and data, is read and not trained again,
    unless `fresh`: what was interrupted goes on where it was. `flops` are those spent so far, `scoring_flops` the part
    of them that choosing neurons took; `accuracy` is over the test set.
    """
    data = load_data(comparison.dataset.factory, comparison.dataset.arguments)
    rows: list[pd.DataFrame] = []
    total = len(comparison.variants) * len(seeds)
    for seed in seeds:  # interleaved: what is cut short has all variants
        for variant in comparison.variants:
            report_progress("comparison", len(rows), total, f"{variant}, seed {seed}")
            experiment = comparison.experiment_of(variant)
            kept = f"{variant}-seed-{seed}-{experiment.config_hash}-{data.fingerprint[:12]}.parquet"
            path = curves_path(comparison).parent / kept
            if fresh or not path.exists():
                curve = pd.DataFrame(_curve(experiment, data, seed, device))
                _write_whole(curve.assign(variant=variant, seed=seed), path)
            rows.append(pd.read_parquet(path))
    report_progress("comparison", total, total)
    curves = pd.concat(rows, ignore_index=True)[COLUMNS]
    _write_whole(curves, curves_path(comparison))
    return curves


def _write_whole(table: pd.DataFrame, path: Path) -> None:
    """Write a table so that a reader sees the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        table.to_parquet(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def curves_path(comparison: Comparison) -> Path:
    """Where the curves of a comparison are kept."""
    return runs_root() / f"comparison-{comparison.name}" / "curves.parquet"


def _curve(
    experiment: Experiment, data: TrainingData, seed: int, device: "torch.device"
) -> Iterator[dict[str, object]]:
    """The epochs of one variant and seed, stage by stage, as an experiment would train them."""
    model = build_model(experiment.model.factory, model_arguments(experiment, data), data, seed)
    for found in train_variant(experiment, model, data, seed, device):
        yield {
            "epoch": found.epoch, "stage": found.stage, "kind": found.kind, "accuracy": found.record.accuracy,
            "loss": found.record.loss, "flops": found.flops, "scoring_flops": found.scoring_flops,
            "seconds": found.record.seconds,
        }  # fmt: skip


def comparison_summary(curves: pd.DataFrame) -> pd.DataFrame:
    """A row a variant: mean and standard deviation over seeds of the accuracy at equal epochs and at equal compute.

    `epochs` and `flops` are what all are read at: the epochs of the shortest variant, the FLOPs of the cheapest. A
    variant whose first epoch is beyond that is read before any step.
    """
    if curves.empty:
        raise AttrGraphError("there are no curves to compare; run the comparison first")
    runs = curves.groupby(["variant", "seed"], sort=False)
    epochs, flops = int(runs["epoch"].max().min()), int(runs["flops"].max().min())
    at_epochs = curves[curves["epoch"] == epochs].set_index(["variant", "seed"])
    within = curves[curves["flops"] <= flops]
    at_flops = within.loc[within.groupby(["variant", "seed"], sort=False)["epoch"].idxmax()]
    at_flops = at_flops.set_index(["variant", "seed"])
    by_epochs, by_flops = (table.groupby(level="variant", sort=False) for table in (at_epochs, at_flops))
    return pd.DataFrame(
        {
            "seeds": by_epochs.size(),
            "epochs": epochs,
            "accuracy_at_epochs": by_epochs["accuracy"].mean(),
            "std_at_epochs": by_epochs["accuracy"].std(),
            "flops_at_epochs": by_epochs["flops"].mean(),
            "scoring_share": by_epochs["scoring_flops"].mean() / by_epochs["flops"].mean(),
            "flops": flops,
            "accuracy_at_flops": by_flops["accuracy"].mean(),
            "std_at_flops": by_flops["accuracy"].std(),
            "epochs_at_flops": by_flops["epoch"].mean(),
        }
    ).reset_index()
