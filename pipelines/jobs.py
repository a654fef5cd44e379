"""Jobs: one run of one experiment and seed, and the comparison of an experiment's seeds."""

import dagster as dg

from pipelines.partitions import experiment_partitions, run_partitions

targeted_training = dg.define_asset_job(
    "targeted_training",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets("seed_comparison"),
    partitions_def=run_partitions,
    description="Train, attribute, ask, select and train again: all stages of one experiment and seed.",
    # Assets of one run are small and follow each other; a process for each would cost more than its work.
    executor_def=dg.in_process_executor,
)

compare_seeds = dg.define_asset_job(
    "compare_seeds",
    selection=dg.AssetSelection.assets("seed_comparison"),
    partitions_def=experiment_partitions,
    description="Accuracy and cost of an experiment's stages over its seeds.",
    executor_def=dg.in_process_executor,
)
