"""What starts runs by itself when something has changed."""

import json
from collections.abc import Iterator

import dagster as dg

from pipelines.experiments import Experiment
from pipelines.jobs import targeted_training
from pipelines.partitions import EXPERIMENTS, RUN_KEYS, experiment_and_seed, partition_key
from pipelines.run_lock import is_held


@dg.sensor(job=targeted_training, minimum_interval_seconds=60)
def unrun_partitions(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """A run for every experiment and seed that has never been trained, nor is now. Off until it is switched on."""
    trained = set(context.instance.get_materialized_partitions(dg.AssetKey("stage_1_checkpoints")))
    waiting = [key for key in RUN_KEYS if key not in trained and not _is_made_now(key)]
    if not waiting:
        yield dg.SkipReason("every experiment and seed has run, or is running")
    for key in waiting:
        experiment, _ = experiment_and_seed(key)
        yield dg.RunRequest(run_key=f"unrun-{key}-{experiment.config_hash}", partition_key=key)


def _is_made_now(key: str) -> bool:
    experiment, seed = experiment_and_seed(key)
    return is_held(experiment.run_id(seed))


@dg.sensor(job=targeted_training, minimum_interval_seconds=3600)
def dataset_changed(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """New runs of an experiment whose data have another fingerprint than when this sensor last looked.

    Data that cannot be read keep the fingerprint they had; the other experiments are looked at all the same.
    """
    cursor = json.loads(context.cursor or '{"changes": 0, "fingerprints": {}}')
    known: dict[str, str] = cursor["fingerprints"]
    now, unreadable = dict(known), []
    for name, experiment in EXPERIMENTS.items():
        try:
            now[name] = _fingerprint(experiment)
        except Exception as error:  # a dataset is anybody's code
            unreadable.append(f"the data of {name!r} cannot be read ({error})")
            context.log.warning(unreadable[-1])
    changed = [name for name in now if name in known and known[name] != now[name] and name in EXPERIMENTS]
    # Counted, so that data that change back and forth start a run each time; a tick that is repeated counts the same.
    changes = cursor["changes"] + bool(changed)
    keys = [partition_key(name, seed) for name in changed for seed in EXPERIMENTS[name].seeds]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"data-{changes}-{key}", partition_key=key) for key in keys],
        cursor=json.dumps({"changes": changes, "fingerprints": now}),
        skip_reason=None if keys else "; ".join(["no experiment's data have changed", *unreadable]),
    )


def _fingerprint(experiment: Experiment) -> str:
    from attrgraph_core.training.data import load_data

    return load_data(experiment.dataset.factory, experiment.dataset.arguments).fingerprint


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.assets("seed_comparison"),
    default_status=dg.DefaultSensorStatus.RUNNING,
)
