"""The loop on real parts: `attrgraph run` of a two-stage experiment through Dagster into Neo4j, and back by Cypher.

Run as its users run it, in a process of its own, which also keeps its Dagster apart from that of other tests.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch

from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.training.weights import load_weights

pytestmark = pytest.mark.neo4j


def attrgraph(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "attrgraph_cli.main", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def run_id_of(folder: Path, seed: int) -> str:
    (found,) = (folder / "runs").glob(f"small-seed-{seed}-*")
    return found.name


def test_a_two_stage_experiment_and_its_provenance(small_experiment: Path, environment_store: Connection):
    finished = attrgraph("run", "small", "--seed", "0")
    assert finished.returncode == 0, finished.stderr + finished.stdout
    folder = small_experiment.parents[1]
    run_id = run_id_of(folder, 0)
    with GraphStore.open(environment_store) as store:
        # From a stage, in Cypher: which query chose the neurons that it trains.
        (row,) = store.query("choosing_query", stage_id=f"{run_id}/stage_2").to_dict("records")
        assert (row["query"], row["policy"], row["budget"]) == ("neuron_influence", "top_influence", 0.25)
        assert row["graph_id"] == f"{run_id}/stage_1/epoch_2/deeplift/label"
        assert json.loads(row["parameters"]) == {"graph_id": row["graph_id"]}
        # The policy took the most influential quarter of each hidden layer, and the output layer whole.
        chosen = store.query("neuron_set", neuron_set_id=row["neuron_set_id"])
        influence = store.query("neuron_influence", graph_id=row["graph_id"]).set_index(["layer", "index"])["influence"]
        expected = {("output", index) for index in range(10)}
        for layer, count in (("fc1", 3), ("fc2", 2)):
            expected |= {(layer, index) for index in influence[layer].nlargest(count).index}
        assert set(zip(chosen["layer"], chosen["index"], strict=True)) == expected
        # A graph of every class and of the true class, of every epoch; epoch 0 is before any step.
        graphs = store.graphs(run_id)
        assert graphs.groupby("stage")["epoch"].unique().map(list).to_dict() == {1: [0, 1, 2], 2: [1]}
        assert sorted(graphs["target"].unique()) == [*(f"class:{c}" for c in range(10)), "label"]
        assert len(graphs) == 44
        status = store.run_cypher("MATCH (run:Run {run_id: $id}) RETURN run.status AS status", {"id": run_id})
        assert status["status"].tolist() == ["complete"]
        # Dagster's run and the graph's run lead to each other.
        properties, stages = store.describe_run(run_id)
        assert set(stages["dagster_run_id"]) == {properties["dagster_run_id"]}
        assert runs_of_dagster(run_id) == [properties["dagster_run_id"]]
        assert properties["configuration"]["training"]["batch_size"] == 128
    # The password is nowhere in what the run left: weights, records, Dagster's history and its logs.
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert any("dagster" in path.parts for path in left)
    assert [path for path in left if environment_store.password.encode() in path.read_bytes()] == []
    # What is not in the set did not move by a bit, under AdamW with weight decay.
    before = load_weights(folder / "runs" / run_id / "stage_1" / "epoch_002.safetensors")
    after = load_weights(folder / "runs" / run_id / "stage_2" / "epoch_001.safetensors")
    for name in before:
        moved = (before[name] != after[name]).reshape(len(before[name]), -1).any(dim=1).nonzero().flatten()
        layer = name.rpartition(".")[0]
        assert {(layer, int(row)) for row in moved} == {pair for pair in expected if pair[0] == layer}
    # Every check ran, of every kind, and passed; those that warn included, but for the mass that max_edges cut off.
    checks = check_results(folder)
    assert checks.pop("edges_hold_their_mass") == {False}
    # Those of evidence ran, too; what they find of a network trained for three epochs is its own.
    evidence = {
        "circuit_is_faithful", "circuit_is_complete", "circuit_is_minimal", "circuit_is_stable",
        "strongest_edges_are_faithful", "edges_agree_with_ablation",
    }  # fmt: skip
    assert evidence <= set(checks)
    assert {name: passed for name, passed in checks.items() if name not in evidence} == {
        name: {True}
        for name in (
            "weights_are_finite", "only_target_neurons_moved", "every_epoch_has_a_graph", "neuron_set_exists_in_graph",
            "attributions_are_complete", "attributions_match_captum",
        )
    }  # fmt: skip


def runs_of_dagster(run_id: str) -> list[str]:
    """Dagster's runs that carry the tag of a run of the graph store."""
    script = f"""
import dagster as dg
with dg.DagsterInstance.get() as instance:
    runs = instance.get_runs(dg.RunsFilter(tags={{"attrgraph/run_id": {run_id!r}}}))
    print(*(run.run_id for run in runs))
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return printed.stdout.split()


def check_results(folder: Path) -> dict[str, set[bool]]:
    """What each check said, over all stages, from the instance that the run left."""
    script = """
import json, dagster as dg
with dg.DagsterInstance.get() as instance:
    events = instance.get_event_records(dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION), limit=1000)
    data = [record.event_log_entry.dagster_event.asset_check_evaluation_data for record in events]
    print(json.dumps([[check.check_name, check.passed] for check in data]))
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    results: dict[str, set[bool]] = {}
    for name, passed in json.loads(printed.stdout):
        results.setdefault(name, set()).add(passed)
    return results


def test_the_same_run_again_gives_the_same_weights_and_graphs(small_experiment: Path, environment_store: Connection):
    folder = small_experiment.parents[1]
    weights, tables = [], []
    for _ in range(2):
        assert attrgraph("run", "small", "--seed", "1").returncode == 0
        run_id = run_id_of(folder, 1)
        weights.append(load_weights(folder / "runs" / run_id / "stage_2" / "epoch_001.safetensors"))
        with GraphStore.open(environment_store) as store:
            tables.append(store.graphs(run_id))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    pd.testing.assert_frame_equal(tables[0], tables[1])


def test_an_interrupted_run_goes_on_where_it_stopped(small_experiment: Path, environment_store: Connection):
    """Ctrl-C once the first stage's weights are there: exit 130, and the same command trains stage 1 no second time."""
    folder = small_experiment.parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "attrgraph_cli.main", "run", "small", "--seed", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if "attribution graphs: 0 of 3" in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
    assert process.returncode == 130, rest
    assert "interrupted; nothing is left half done" in rest
    weights = folder / "runs" / run_id_of(folder, 0) / "stage_1" / "epoch_002.safetensors"
    written = weights.stat().st_mtime_ns
    finished = attrgraph("run", "small", "--seed", "0")
    assert finished.returncode == 0, finished.stderr
    assert "was interrupted; going on with stage_1_attribution_graphs" in " ".join(finished.stdout.split())
    assert weights.stat().st_mtime_ns == written
    with GraphStore.open(environment_store) as store:
        assert len(store.graphs(run_id_of(folder, 0))) == 44


def test_a_server_killed_during_a_run_is_started_again(
    small_experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The embedded server dies while graphs are written: the step is retried on a new one, and the run ends whole."""
    home = tmp_path / "neo4j"
    monkeypatch.setenv("ATTRGRAPH_NEO4J_HOME", str(home))
    for name in ("NEO4J_URI", "NEO4J_USER", "NEO4J_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "attrgraph_cli.main", "run", "small", "--seed", "0"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        printed, tries = [], 0
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                printed.append(line)
                # The line that is always printed: the first graphs are made and written now.
                if "stage 1: attribution graphs: 0 of 3" in line:
                    tries += 1
                    if tries == 1:
                        kill_server(home)
        assert process.returncode == 0, "".join(printed)
        assert tries == 2
        with GraphStore.open() as store:
            assert len(store.graphs(run_id_of(tmp_path, 0))) == 44
    finally:
        assert attrgraph("db", "stop").returncode == 0


def kill_server(home: Path) -> None:
    process = psutil.Process(json.loads((home / "server.json").read_text())["pid"])
    process.kill()
    deadline = time.monotonic() + 300
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
