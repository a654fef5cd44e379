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

from attrgraph_core.attribution.attribute import attribute
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.history import updated_history
from attrgraph_core.targeting.optimizer_archive import OptimizerArchive
from attrgraph_core.targeting.policies import policy_needs
from attrgraph_core.targeting.scores import needs_source
from attrgraph_core.training.counted_flops import counted_flops
from attrgraph_core.training.data import TrainingData, load_data
from attrgraph_core.training.models import build_model
from attrgraph_core.training.stage import train_stage
from pipelines.attribution_sample import baseline_of, sample_of
from pipelines.circuit_run import choose_of, scored_candidates
from pipelines.comparison_file import Comparison
from pipelines.experiments import Experiment, Selection
from pipelines.progress import report_progress
from pipelines.run_folder import runs_root
from pipelines.stage_kind import model_arguments, settings_of, stop_condition, way_of_training

if TYPE_CHECKING:
    import torch
    from torch import nn

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
    archive, history = OptimizerArchive(), None
    epoch = flops = scoring = 0
    for position, stage in enumerate(experiment.stages, start=1):
        chosen = None
        if stage.select is not None:
            neurons, spent = _choose(experiment, stage.select, model, data, history, seed, position)
            chosen, flops, scoring = neurons, flops + spent, scoring + spent
        way = way_of_training(stage, model, data, seed, chosen)
        before = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        result = train_stage(
            model, data, settings_of(experiment, stage, model, way.neuron_set), neuron_set=way.neuron_set, seed=seed,
            stage=position, device=device, archive=archive, make_peer=way.make_peer,
            is_done=stop_condition(experiment, stage, data),
        )  # fmt: skip
        trained = way.neuron_set.neurons if way.neuron_set else None
        history = updated_history(history, before, model.cpu().state_dict(), trained, position)
        for record in result.epochs:
            if record.epoch == 0 and position > 1:
                continue  # the end of the stage before
            flops += record.flops
            yield {
                "epoch": epoch, "stage": position, "kind": stage.kind, "accuracy": record.accuracy, "loss": record.loss,
                "flops": flops, "scoring_flops": scoring, "seconds": record.seconds,
            }  # fmt: skip
            epoch += 1


def _choose(
    experiment: Experiment, selection: Selection, model: "nn.Module", data: TrainingData, history: pd.DataFrame | None,
    seed: int, position: int,
) -> tuple[dict[str, tuple[int, ...]], int]:  # fmt: skip
    """The neurons of a targeted stage, and the FLOPs of choosing them; the graph is made only where it is asked."""
    found, flops = pd.DataFrame({"layer": [], "index": [], "influence": []}), 0
    if needs_source(policy_needs(selection.policy), "graph"):
        inputs, labels = sample_of(experiment, data)
        with counted_flops() as counted:
            graph = attribute(
                model.eval(), inputs, labels, method=experiment.attribution.method,
                baseline=baseline_of(experiment, inputs),
            )  # fmt: skip
        # As query neuron_influence: of all outgoing edges.
        found = graph.edges.groupby(["source_layer", "source_index"])["abs_weight"].sum().reset_index()
        found.columns = pd.Index(["layer", "index", "influence"])
        flops = counted.flops
    candidates, scoring = scored_candidates(experiment, selection, model.eval(), data, found, history, position)
    chosen = choose_of(selection, candidates, model, data, seed=seed, stage=position)
    return chosen.neurons, flops + scoring


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
