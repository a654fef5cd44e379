"""Jobs: one run of one experiment and seed, the comparison of an experiment's seeds; cells and reports of studies."""

import contextlib
from collections.abc import Collection
from typing import Any

import dagster as dg

from attrgraph_core.errors import AttrGraphError
from pipelines.partitions import experiment_and_seed
from pipelines.run_lock import run_lock


@dg.failure_hook(required_resource_keys={"graph_store"})
def run_has_failed(context: dg.HookContext) -> None:
    """Say in Neo4j that a run failed, if it answers: what failed may be Neo4j itself.

    Not of a run that another process makes: that one goes on.
    """
    run = context.instance.get_run_by_id(context.run_id)
    key = run.tags.get("dagster/partition") if run else None
    if key is None:
        return
    experiment, seed = experiment_and_seed(key)
    run_id = experiment.run_id(seed)
    with contextlib.suppress(AttrGraphError), run_lock(run_id), context.resources.graph_store.open() as store:
        store.finish_run(run_id, "failed")


targeted_training = dg.define_asset_job(
    "targeted_training",
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups("report", "study"),
    hooks={run_has_failed},
    description="Train, attribute, ask, select and train again: all stages of one experiment and seed.",
    # Assets of one run are small and follow each other; a process for each would cost more than its work.
    executor_def=dg.in_process_executor,
)

compare_seeds = dg.define_asset_job(
    "compare_seeds",
    selection=dg.AssetSelection.assets("seed_comparison"),
    description="Accuracy and cost of an experiment's stages over its seeds.",
    executor_def=dg.in_process_executor,
)


def study_jobs(studies: Collection[str]) -> list[Any]:
    """A job for cells, to be backfilled over a study's partitions, and one for reports; none without studies."""
    if not studies:
        return []
    words = {
        "study_cell": "One method, data set and seed of a study, with the trials that its settings need.",
        "study_report": "Tables and plots of a study's finished cells, which become runs in the store.",
    }
    return [
        dg.define_asset_job(
            f"{name}s", selection=dg.AssetSelection.assets(name), description=text, executor_def=dg.in_process_executor
        )
        for name, text in words.items()
    ]
