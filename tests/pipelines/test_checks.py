"""The asset checks on a real run: all pass, and each fails when the thing it asks is not what the record says.

The run and every look at it are processes of their own, as their experiment is another than this one's.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.retention import RetentionRules
from tests.pipelines.conftest import SMALL_EXPERIMENT

pytestmark = pytest.mark.neo4j

LOOK = """
import json
from types import SimpleNamespace
import dagster as dg
from pipelines import checks, records, resume
from pipelines.frozen_weights import frozen_that_moved
from pipelines.partitions import EXPERIMENTS
from pipelines.resources import GraphStoreResource
from pipelines.run_folder import record_path

experiment = EXPERIMENTS["small"]

def record(name, kind):
    return kind.model_validate_json(record_path(experiment, 0, name).read_text())

first, second = (record(f"stage_{k}_checkpoints", records.CheckpointsRecord) for k in (1, 2))
graphs = record("stage_1_attribution_graphs", records.GraphsRecord)
chosen = record("stage_1_neuron_set", records.NeuronSetRecord)
circuits = record("stage_1_circuits", records.CircuitsRecord)
store = GraphStoreResource()

found = {
    "weights_are_finite": checks.weights_are_finite(2)(dg.build_asset_check_context(), second),
    # A check's context cannot be given a partition outside of a run; this is what the check asks.
    "only_target_neurons_moved": SimpleNamespace(passed=not frozen_that_moved(experiment, 0, second, first, chosen)),
    "every_epoch_has_a_graph": checks.every_epoch_has_a_graph(1)(graph_store=store, graphs=graphs, checkpoints=first),
    "attributions_are_complete": checks.attributions_are_complete(1)(graph_store=store, graphs=graphs),
    "neuron_set_exists_in_graph": checks.neuron_set_exists_in_graph(1)(
        graph_store=store, neuron_set=chosen, circuits=circuits
    ),
}
with store.open() as opened:
    pending = resume.pending_assets(experiment, 0, opened)
print(json.dumps({"failed": [name for name, result in found.items() if not result.passed], "pending": pending[:1]}))
"""


class Run:
    """A run of the small experiment in a folder of its own, and the eyes on it."""

    def __init__(self, folder: Path, connection: Connection):
        (folder / "experiments").mkdir()
        (folder / "experiments" / "small.yaml").write_text(SMALL_EXPERIMENT, encoding="utf-8")
        self.folder = folder
        self.environment = os.environ | {
            "ATTRGRAPH_EXPERIMENTS": str(folder / "experiments"),
            "ATTRGRAPH_RUNS": str(folder / "runs"),
            "DAGSTER_HOME": str(folder / "dagster"),
            "NEO4J_URI": connection.uri,
            "NEO4J_USER": connection.user,
            "NEO4J_PASSWORD": connection.password,
        }

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def look(self) -> dict[str, list[str]]:
        ended = self.python("-c", LOOK)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    @property
    def run_folder(self) -> Path:
        (folder,) = (self.folder / "runs").glob("small-seed-0-*")
        return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, neo4j_connection: Connection) -> Run:
    run = Run(tmp_path_factory.mktemp("checked"), neo4j_connection)
    ended = run.python("-m", "attrgraph_cli.main", "run", "small", "--seed", "0")
    assert ended.returncode == 0, ended.stderr
    assert "Warning" not in ended.stderr + ended.stdout
    return run


@pytest.fixture
def store(neo4j_connection: Connection):
    with GraphStore.open(neo4j_connection) as store:
        yield store


def test_all_pass_on_a_good_run(run):
    assert run.look() == {"failed": [], "pending": []}


def test_every_circuit_has_evidence_in_neo4j(run, store):
    found = store.query("circuit_evidence", run_id=run.run_folder.name)
    assert sorted(found["query"]) == ["neuron_influence", "strongest_paths", "strongest_paths"]
    paths = found[found["query"] == "strongest_paths"]
    assert paths["target"].tolist() == ["class:3", "class:3"]
    assert (paths["size"] < 0.05).all()
    every_unit = found[found["query"] == "neuron_influence"].iloc[0]
    assert (every_unit["faithfulness"], every_unit["completeness"], every_unit["size"]) == pytest.approx((1, 1, 1))
    assert (found["ablation"] == "mean").all()
    assert found["seed_stability"].isna().all()


def change(store, run, before, after):
    """Run a statement, look, and undo it by another."""
    parameters = {"run_id": run.run_folder.name}
    store.run_cypher(before, parameters, read_only=False)
    try:
        return run.look()["failed"]
    finally:
        store.run_cypher(after, parameters, read_only=False)


def test_a_graph_that_is_not_whole_in_neo4j_fails(run, store):
    before = """
        MATCH (a:NeuronState {graph_id: $run_id + '/stage_1/epoch_2/deeplift/label'})-[edge:INFLUENCES]->(b)
        WITH a, edge, b LIMIT 1
        CREATE (a)-[:WAS {weight: edge.weight, abs_weight: edge.abs_weight}]->(b)
        DELETE edge
    """
    after = """
        MATCH (a)-[was:WAS]->(b)
        CREATE (a)-[:INFLUENCES {weight: was.weight, abs_weight: was.abs_weight}]->(b)
        DELETE was
    """
    assert change(store, run, before, after) == ["every_epoch_has_a_graph"]


def test_attributions_that_do_not_add_up_fail(run, store):
    of_run = (
        "MATCH (g:AttributionGraph {run_id: $run_id, target: 'label'}) WHERE g.graph_id CONTAINS 'stage_1/epoch_1' "
    )
    failed = change(
        store, run, of_run + "SET g.was = g.completeness_delta, g.completeness_delta = 0.5",
        of_run + "SET g.completeness_delta = g.was REMOVE g.was",
    )  # fmt: skip
    assert failed == ["attributions_are_complete"]


def test_a_neuron_set_without_its_circuit_fails(run, store):
    failed = change(
        store, run,
        "MATCH (c:Circuit)-[y:YIELDS]->(s:NeuronSet {run_id: $run_id}) SET s.was = c.circuit_id DELETE y",
        "MATCH (s:NeuronSet {run_id: $run_id}) MATCH (c:Circuit {circuit_id: s.was}) "
        "CREATE (c)-[:YIELDS]->(s) REMOVE s.was",
    )  # fmt: skip
    assert failed == ["neuron_set_exists_in_graph"]


def with_weights(run, edit):
    """Look at the run with the last weights of stage 2 edited."""
    path = sorted((run.run_folder / "stage_2").glob("*.safetensors"))[-1]
    kept = path.read_bytes()
    weights = load_file(path)
    edit(weights)
    try:
        save_file(weights, path)
        return run.look()["failed"]
    finally:
        path.write_bytes(kept)


def test_a_frozen_weight_that_moved_fails(run):
    record = json.loads((run.run_folder / "stage_1_neuron_set.json").read_text())
    layer = next(name for name in record["neurons"] if name != "output")
    frozen = next(index for index in range(8) if index not in record["neurons"][layer])

    def nudge(weights):
        weights[f"{layer}.weight"][frozen, 0] += 1e-7

    assert with_weights(run, nudge) == ["only_target_neurons_moved"]


def test_a_weight_that_is_not_finite_fails(run):
    def spoil(weights):
        weights["output.bias"][0] = float("nan")

    assert "weights_are_finite" in with_weights(run, spoil)


@pytest.mark.parametrize(
    ("pattern", "asset"),
    [("stage_2/*.safetensors", "stage_2_checkpoints"), ("stage_1/circuit_*.parquet", "stage_1_circuits")],
)
def test_a_file_that_is_gone_is_made_again(run, pattern, asset, tmp_path):
    path = sorted(run.run_folder.glob(pattern))[-1]
    kept = tmp_path / path.name
    kept.write_bytes(path.read_bytes())
    path.unlink()
    script = LOOK[: LOOK.index("first, second")] + LOOK[LOOK.index("store = ") : LOOK.index("found = ")]
    script += "with store.open() as opened: print(json.dumps(resume.pending_assets(experiment, 0, opened)))"
    ended = run.python("-c", script)
    path.write_bytes(kept.read_bytes())
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)[0] == asset


def test_a_run_that_fails_says_so_in_neo4j(run, store):
    """The digits are gone from under the second seed: its first asset that needs them fails."""
    bad = SMALL_EXPERIMENT.replace("name: small", "name: failing").replace(
        "learning_rate: 0.02", "learning_rate: 1.0e+30"
    )
    (run.folder / "experiments" / "failing.yaml").write_text(bad, encoding="utf-8")
    try:
        store.save_run(failing_run_id(run), "failing", seed=0, config_hash="c", code_version="v")
        ended = run.python("-m", "attrgraph_cli.main", "run", "failing", "--seed", "0")
        assert ended.returncode == 1, ended.stderr
        assert "Traceback" not in ended.stderr
        status = store.run_cypher("MATCH (r:Run {run_id: $id}) RETURN r.status AS status", {"id": failing_run_id(run)})
        assert status["status"].tolist() == ["failed"]
    finally:
        (run.folder / "experiments" / "failing.yaml").unlink()


def failing_run_id(run) -> str:
    script = "from pipelines.partitions import EXPERIMENTS; print(EXPERIMENTS['failing'].run_id(0))"
    return run.python("-c", script).stdout.strip()


def test_a_pruned_run_is_not_taken_for_an_interrupted_one(run, store):
    """The last test here: the graphs are gone afterwards."""
    plan = store.plan_retention(RetentionRules(stage_ends=True), [run.run_folder.name])
    assert len(plan.going) == 22  # epochs 0 and 1 of stage 1, 11 graphs each
    store.prune(plan)
    assert run.look()["pending"] == []
