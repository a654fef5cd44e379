import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from attrgraph_cli.runs import app
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.graph_store import GraphStore
from pipelines.run_lock import run_lock
from tests.worked_graph import make_graph

pytestmark = pytest.mark.neo4j
RUNS = ("runs-test-a", "runs-test-b")


@pytest.fixture
def store(environment_store):
    """Two runs of an experiment that differ in a learning rate, a seed and how they ended."""
    with GraphStore.open(environment_store) as store:
        for seed, run_id in enumerate(RUNS):
            configuration = {"model": {"hidden": [8, 4]}, "stages": [{"epochs": 2}, {"rate": seed / 10}]}
            store.save_run(
                run_id, "runs_test", seed, "c", "v", configuration=configuration, dagster_run_id=f"dagster-{seed}"
            )
            store.save_stage(run_id, 1, "full", trained_neurons=3, seconds=1.5, dagster_run_id=f"dagster-{seed}")
            for epoch in (0, 1):
                store.save(
                    make_graph(), run_id=run_id, stage=1, epoch=epoch, loss=1.0 - seed / 2, accuracy=0.5 + epoch / 4
                )
            store.finish_run(run_id, "complete")
        yield store
        for run_id in store.runs("runs_test")["run_id"]:
            store.delete_run(run_id)


def invoke(*arguments: str, **more) -> str:
    result = CliRunner().invoke(app, list(arguments), **more)
    if isinstance(result.exception, AttrGraphError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_runs_are_listed_newest_first(store):
    rows = json.loads(invoke("list", "--experiment", "runs_test", "--json"))
    assert [row["run_id"] for row in rows] == ["runs-test-b", "runs-test-a"]
    assert {key: rows[1][key] for key in ("status", "snapshots", "graphs", "edges", "loss", "accuracy", "name")} == {
        "status": "complete", "snapshots": 2, "graphs": 2, "edges": 10, "loss": 1.0, "accuracy": 0.75, "name": None,
    }  # fmt: skip
    assert "runs-test-a" in invoke("list")
    assert invoke("list", "--tag", "no-such") == "There are no such runs.\n"


def test_a_run_is_found_by_its_name_and_by_a_beginning(store):
    invoke("name", "runs-test-a", "the good one")
    assert store.find_run("the good one") == store.find_run("runs-test-a") == "runs-test-a"
    with pytest.raises(
        AttrGraphError, match="begins 2 runs, the newest first: runs-test-b, runs-test-a; write the one"
    ):
        store.find_run("runs-test")
    with pytest.raises(AttrGraphError, match="no run 'the god one'; did you mean the good one"):
        store.find_run("the god one")
    with pytest.raises(AttrGraphError, match="'the good one' is the name of run runs-test-a"):
        invoke("name", "runs-test-b", "the good one")
    with pytest.raises(AttrGraphError, match="is the name of run runs-test-a"):
        invoke("name", "runs-test-b", "runs-test-a")
    invoke("name", "the good one", "")
    assert store.describe_run("runs-test-a")[0].get("name") is None


def test_a_run_is_found_by_its_experiment_where_another_begins_so(store):
    for run_id, experiment in (("runs_test_1", "runs_test_one"), ("runs_test_one_2", "runs_test_one_more")):
        store.save_run(run_id, experiment, 0, "c", "v")
    try:
        assert store.find_run("runs_test_one") == "runs_test_1"
    finally:
        for run_id in ("runs_test_1", "runs_test_one_2"):
            store.delete_run(run_id)


def test_show_says_everything_and_where_dagster_has_it(store):
    invoke("tag", "runs-test-a", "first", "best")
    invoke("tag", "runs-test-a", "first", "--remove")
    invoke("note", "runs-test-a", "seen [red]on[/] Tuesday")
    printed = invoke("show", "runs-test-a")
    for text in ("dagster-0", "best", "seen [red]on[/] Tuesday", '"hidden": [8, 4]', "runs_test"):
        assert text in printed
    (stage,) = json.loads(invoke("show", "runs-test-a", "--json"))["stages"]
    assert (stage["kind"], stage["epochs"], stage["best_accuracy"], stage["edges"]) == ("full", 1, 0.75, 10)


def test_compare_shows_what_differs(store):
    table = store.compare_runs(RUNS)
    assert table.index.tolist() == [
        "seed", "configuration.stages.2.rate", "stage_1.kind", "stage_1.policy", "stage_1.budget",
        "stage_1.trained_neurons", "stage_1.epochs", "stage_1.loss", "stage_1.accuracy", "stage_1.best_accuracy",
        "stage_1.seconds", "stage_1.graphs", "stage_1.edges",
    ]  # fmt: skip
    assert table.loc["configuration.stages.2.rate"].tolist() == [0.0, 0.1]
    assert table.loc["stage_1.loss"].tolist() == [1.0, 0.5]
    printed = invoke("compare", *RUNS)
    assert "configuration.stages.2.rate" in printed
    assert "hidden" not in printed


def test_one_run_by_two_of_its_names_is_not_compared(store):
    store.annotate_run("runs-test-a", name="the good one")
    with pytest.raises(AttrGraphError, match="runs-test-a and the good one are one run, runs-test-a; name another"):
        invoke("compare", "runs-test-a", "the good one")


def test_of_two_who_give_the_same_name_at_once_one_is_refused(store):
    """Both look, and then write, as close together as they come."""
    barrier = threading.Barrier(2)

    def name(run_id):
        barrier.wait(60)
        try:
            store.annotate_run(run_id, name="the only one")
        except AttrGraphError as error:
            return str(error)
        return None

    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            (refused,) = filter(None, pool.map(name, RUNS))
        assert "'the only one' is the name of run runs-test-" in refused
        assert (store.runs("runs_test")["name"] == "the only one").sum() == 1
        for run_id in RUNS:
            store.annotate_run(run_id, name="")


def test_delete_asks_or_is_told(store, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path))
    (tmp_path / "runs-test-b").mkdir()
    with pytest.raises(AttrGraphError, match="say --yes if it may"):
        invoke("delete", "runs-test-b")
    assert "Deleted run runs-test-b with 2 graphs.\nIts weights and tables stay" in invoke(
        "delete", "runs-test-b", "--yes"
    )
    assert store.runs("runs_test")["run_id"].tolist() == ["runs-test-a"]


def test_delete_says_that_a_run_is_running(store, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path))
    store.save_run("runs-test-b", "runs_test", 1, "c", "v")
    with run_lock("runs-test-b"):
        result = CliRunner().invoke(app, ["delete", "runs-test-b", "--yes"])
    assert result.stderr == "Run runs-test-b is running: who trains it ends with an error.\n"
    assert result.stdout.startswith("Deleted run runs-test-b with 2 graphs.\n")
    store.save_run("runs-test-b", "runs_test", 1, "c", "v")
    result = CliRunner().invoke(app, ["delete", "runs-test-b", "--yes"])
    assert result.stderr == "Run runs-test-b was killed, or runs elsewhere: who trains it ends with an error.\n"


@pytest.mark.parametrize("tag", ["", "two words", "a,b", "a\nb"])
def test_tags_are_words(store, tag):
    with pytest.raises(AttrGraphError, match="must be one printable word"):
        store.annotate_run("runs-test-a", tags=[tag])
