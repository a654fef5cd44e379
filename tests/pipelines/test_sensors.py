"""What starts runs by itself, tick by tick."""

import json
from datetime import UTC, datetime

import dagster as dg
import pytest

from pipelines import schedules, sensors
from pipelines.partitions import EXPERIMENTS
from pipelines.schedules import nightly
from pipelines.sensors import dataset_changed, unrun_partitions


def keys(requests):
    return [request.partition_key for request in requests]


def tick(cursor):
    context = dg.build_sensor_context(cursor=cursor)
    result = dataset_changed(context)
    return result.run_requests, result.cursor, result.skip_reason


@pytest.fixture
def fingerprints(monkeypatch):
    """Of the data of each experiment, to be changed as data change."""
    found = dict.fromkeys(EXPERIMENTS, "a")

    def fingerprint(experiment):
        if found[experiment.name] is None:
            raise OSError("no such file")
        return found[experiment.name]

    monkeypatch.setattr(sensors, "_fingerprint", fingerprint)
    return found


def test_data_that_change_start_a_run_each_time_they_do(fingerprints):
    requests, cursor, reason = tick(None)
    assert (requests, reason.skip_message) == ([], "no experiment's data have changed")
    run_keys = []
    for content in ("b", "a", "b"):
        fingerprints["digits"] = content
        requests, cursor, _ = tick(cursor)
        assert keys(requests) == ["digits-seed-0"]
        run_keys += [request.run_key for request in requests]
        assert tick(cursor)[0] == []
    assert len(set(run_keys)) == 3


def test_a_tick_that_is_repeated_asks_for_the_same_run(fingerprints):
    _, cursor, _ = tick(None)
    fingerprints["digits"] = "b"
    assert [request.run_key for request in tick(cursor)[0]] == [request.run_key for request in tick(cursor)[0]]


def test_data_that_cannot_be_read_stop_no_other_experiment(fingerprints):
    _, cursor, _ = tick(None)
    fingerprints.update(digits=None, digits_cnn="b")
    requests, cursor, _ = tick(cursor)
    assert keys(requests) == ["digits_cnn-seed-0"]
    assert json.loads(cursor)["fingerprints"]["digits"] == "a"
    _, cursor, reason = tick(cursor)
    assert "the data of 'digits' cannot be read (no such file)" in reason.skip_message
    fingerprints["digits"] = "c"
    assert keys(tick(cursor)[0]) == ["digits-seed-0"]


def test_real_data_have_a_fingerprint():
    requests, cursor, _ = tick(None)
    assert requests == []
    assert len(set(json.loads(cursor)["fingerprints"].values())) == 2  # digits flat, and as images


def test_what_has_never_run_is_asked_for_until_it_has():
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance)
        assert keys(unrun_partitions(context)) == ["digits-seed-0", "digits_cnn-seed-0"]
        event = dg.AssetMaterialization(dg.AssetKey("stage_1_checkpoints"), partition="digits-seed-0")
        instance.report_runless_asset_event(event)
        assert keys(unrun_partitions(context)) == ["digits_cnn-seed-0"]
    assert unrun_partitions.default_status is dg.DefaultSensorStatus.STOPPED


def test_the_night_runs_what_is_marked(monkeypatch):
    time = datetime(2026, 11, 24, 2, tzinfo=UTC)
    monkeypatch.setattr(schedules, "EXPERIMENTS", {name: marked(name, False) for name in EXPERIMENTS})
    (skipped,) = nightly(dg.build_schedule_context(scheduled_execution_time=time))
    assert skipped.skip_message == "no experiment file says 'nightly: true'"
    monkeypatch.setattr(schedules, "EXPERIMENTS", {"digits": marked("digits", True)})
    (request,) = nightly(dg.build_schedule_context(scheduled_execution_time=time))
    assert (request.run_key, request.partition_key) == ("2026-11-24-digits-seed-0", "digits-seed-0")


def marked(name, nightly):
    return EXPERIMENTS[name].model_copy(update={"nightly": nightly})
