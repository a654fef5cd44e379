"""When experiments run by themselves."""

from collections.abc import Iterator

import dagster as dg

from pipelines.jobs import targeted_training
from pipelines.partitions import EXPERIMENTS, partition_key


@dg.schedule(job=targeted_training, cron_schedule="0 2 * * *", execution_timezone="UTC")
def nightly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Every run of the experiments marked `nightly`, once a night."""
    night = context.scheduled_execution_time.date().isoformat()
    keys = [
        partition_key(name, seed)
        for name, experiment in EXPERIMENTS.items()
        if experiment.nightly
        for seed in experiment.seeds
    ]
    if not keys:
        yield dg.SkipReason("no experiment file says 'nightly: true'")
    for key in keys:
        yield dg.RunRequest(run_key=f"{night}-{key}", partition_key=key)
