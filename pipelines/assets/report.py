"""What an experiment gave, over its seeds."""

from typing import TYPE_CHECKING

import dagster as dg

from pipelines.partitions import EXPERIMENTS, STAGE_COUNT, experiment_partitions, runs_of_experiment
from pipelines.pictures import table_metadata
from pipelines.summary import comparison_table, summary_table

if TYPE_CHECKING:
    import pandas as pd


@dg.asset(
    group_name="report",
    kinds={"pandas"},
    owners=["team:attrgraph"],
    partitions_def=experiment_partitions,
    deps=[
        dg.AssetDep(f"stage_{position}_circuits", partition_mapping=runs_of_experiment)
        for position in range(1, STAGE_COUNT + 1)
    ],
    # Not `eager()`: an experiment shorter than the longest never has the last stages that `eager` would wait for.
    automation_condition=dg.AutomationCondition.any_deps_updated()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress(),
    code_version="1",
)
def seed_comparison(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Accuracy and cost of every stage of an experiment, mean and spread over the seeds that have run."""
    experiment = EXPERIMENTS[context.partition_key]
    runs: pd.DataFrame = summary_table(experiment, experiment.seeds)
    return dg.MaterializeResult(
        metadata={
            "seeds": int(runs["seed"].nunique()) if len(runs) else 0,
            "stages": table_metadata(comparison_table(runs)),
            "runs": table_metadata(runs, rows=100),
        }
    )
