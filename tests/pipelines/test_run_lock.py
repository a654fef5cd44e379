"""Two processes and one run."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.graph_store import GraphStore
from pipelines.run_lock import is_held, run_lock

HOLDER = """
import sys
from pipelines.run_lock import run_lock
with run_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Have another process hold a run."""
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path / "runs"))
    held: list[subprocess.Popen[str]] = []

    def begin(run_id: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, run_id], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        held.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield begin
    for process in held:
        process.kill()
        process.communicate()


def test_a_run_that_another_process_makes_is_refused_by_its_name(hold):
    process = hold("digits-seed-0")
    assert is_held("digits-seed-0")
    told = rf"run digits-seed-0 is being made by another process \(process {process.pid}, since 2"
    with pytest.raises(AttrGraphError, match=told), run_lock("digits-seed-0"):
        pass
    with run_lock("digits-seed-1"):
        assert is_held("digits-seed-1")
    assert not is_held("digits-seed-1")


def test_a_run_whose_process_was_killed_goes_on_at_once(hold):
    process = hold("digits-seed-0")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not is_held("digits-seed-0")
    with run_lock("digits-seed-0"), run_lock("digits-seed-0"):  # a command, and a step of it
        pass
    assert not is_held("digits-seed-0")


def test_a_run_is_held_until_the_last_thread_has_left(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path))
    first, second = run_lock("digits-seed-0"), run_lock("digits-seed-0")
    first.__enter__()
    with ThreadPoolExecutor(1) as other:
        other.submit(second.__enter__).result()
        first.__exit__(None, None, None)
        assert is_held("digits-seed-0")
        other.submit(second.__exit__, None, None, None).result()
    assert not is_held("digits-seed-0")


def test_a_full_disk_hinders_nobody_and_a_folder_without_locks_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.run_lock.write_atomically", full)
        with run_lock("digits-seed-0"):
            assert is_held("digits-seed-0")
    (tmp_path / "digits-seed-1").write_text("")
    (tmp_path / "digits-seed-2" / ".lock").mkdir(parents=True)
    for run_id in ("digits-seed-1", "digits-seed-2"):
        told = f"run {run_id} cannot be locked in .* ATTRGRAPH_RUNS"
        with pytest.raises(AttrGraphError, match=told), run_lock(run_id):
            pass
        assert not is_held(run_id)


def test_the_command_refuses_before_it_forgets_a_record(hold, small_experiment):
    from attrgraph_cli.main import app
    from pipelines.experiments import load_experiment

    run_id = load_experiment(small_experiment).run_id(1)
    hold(run_id)
    record = small_experiment.parents[1] / "runs" / run_id / "dataset.json"
    record.write_text("{}")
    result = CliRunner().invoke(app, ["run", str(small_experiment), "--seed", "1", "--fresh"])
    assert isinstance(result.exception, AttrGraphError)
    assert f"run {run_id} is being made by another process" in str(result.exception)
    assert record.exists()


@pytest.mark.neo4j
@pytest.mark.parametrize("how", [[], ["--fresh"]], ids=["on", "anew"])
def test_the_command_refuses_a_run_that_is_being_deleted_before_it_trains(small_experiment, environment_store, how):
    from attrgraph_cli.main import app
    from pipelines.experiments import load_experiment

    experiment = load_experiment(small_experiment)
    run_id = experiment.run_id(0)
    with GraphStore.open() as store:
        store.save_run(run_id, experiment.name, 0, experiment.config_hash, "test", status="deleting")
        try:
            result = CliRunner().invoke(app, ["run", str(small_experiment), "--seed", "0", *how])
        finally:
            store.delete_run(run_id)
    assert isinstance(result.exception, AttrGraphError)
    assert f"after `attrgraph runs delete {run_id}` where that was cut short" in str(result.exception)
    assert not list((small_experiment.parents[1] / "runs" / run_id).glob("*.json"))


@pytest.mark.neo4j
@pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated")
def test_a_step_of_dagster_refuses_in_one_line_and_the_other_one_goes_on(hold, environment_store):
    """The run is not said to have failed: its own process makes it."""
    from pipelines.definitions import defs
    from pipelines.partitions import experiment_and_seed

    experiment, seed = experiment_and_seed("digits-seed-0")
    run_id = experiment.run_id(seed)
    hold(run_id)
    with GraphStore.open() as store, dg.DagsterInstance.ephemeral() as instance:
        store.save_run(run_id, experiment.name, seed, experiment.config_hash, "test", status="running")
        result = defs.resolve_job_def("targeted_training").execute_in_process(
            instance=instance, partition_key="digits-seed-0", asset_selection=[dg.AssetKey("dataset")],
            raise_on_error=False,
        )  # fmt: skip
        status = store.describe_run(run_id)[0]["status"]
        store.delete_run(run_id)
    assert status == "running"
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "is being made by another process" in failure.step_failure_data.user_failure_data.description


def test_a_sensor_leaves_out_what_is_being_made(hold):
    from pipelines.partitions import experiment_and_seed
    from pipelines.sensors import unrun_partitions

    def asked() -> list[str]:
        with dg.DagsterInstance.ephemeral() as instance:
            requests = unrun_partitions(dg.build_sensor_context(instance=instance))
            return [request.partition_key for request in requests]

    before = asked()
    experiment, seed = experiment_and_seed("digits-seed-0")
    hold(experiment.run_id(seed))
    assert asked() == [key for key in before if key != "digits-seed-0"]
