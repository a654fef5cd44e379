"""Diagnosis, surgery and undo of a run with a backdoor, and a short stream, from the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn
from typer.testing import CliRunner

from attrgraph_cli.main import app
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.surgery.unrolling import unroll
from attrgraph_core.training.data import load_data
from attrgraph_core.training.models import build_model
from attrgraph_core.training.weights import load_weights, save_weights, weights_hash
from pipelines.definitions import defs
from pipelines.records import Checkpoint, CheckpointsRecord
from tests.attrgraph_core.surgery.backdoor import CNN, PATCH, backdoored_cnn, backdoored_network

RUN = "surgery-test"


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, AttrGraphError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(neo4j_connection, tmp_path_factory):
    """A run of one epoch whose network has a backdoor, and files of samples with the patch and without."""
    folder = tmp_path_factory.mktemp("surgery")
    model, case = backdoored_network(hidden=(48, 24))
    for name, samples in case._asdict().items():
        np.savez(folder / f"{name}.npz", inputs=samples.inputs.numpy(), labels=samples.labels.numpy())
    truth = np.zeros(64)
    truth[list(PATCH)] = 1
    np.save(folder / "truth.npy", truth)
    keep_weights(folder, RUN, model)
    with pytest.MonkeyPatch.context() as patch, GraphStore.open(neo4j_connection) as store:
        for name, value in (("URI", "uri"), ("USER", "user"), ("PASSWORD", "password")):
            patch.setenv(f"NEO4J_{name}", getattr(neo4j_connection, value))
        patch.setenv("ATTRGRAPH_RUNS", str(folder))
        configuration = {
            "dataset": {"factory": "digits", "arguments": {}},
            "model": {"factory": "mlp", "arguments": {"hidden": [48, 24]}},
        }
        store.save_run(RUN, "surgery_test", 0, "c", "v", configuration=configuration)
        yield folder
        store.delete_run(RUN)


def keep_weights(folder: Path, run_id: str, model: nn.Module) -> None:
    """As a run of one epoch leaves them."""
    file = "stage_1/epoch_001.safetensors"
    save_weights(folder / run_id / file, model.state_dict())
    checkpoint = Checkpoint(
        epoch=1, file=file, loss=0.1, accuracy=0.9, train_accuracy=0.9, learning_rate=0.1, seconds=1.0
    )
    record = CheckpointsRecord(
        run_id=run_id, stage=1, kind="full", checkpoints=(checkpoint,), trained_neurons=202, neuron_count=202,
        trained_weights=1, weight_count=1, neuron_set_id=None, seconds=1.0,
    )  # fmt: skip
    (folder / run_id / "stage_1_checkpoints.json").write_text(record.model_dump_json())


@pytest.mark.neo4j
def test_diagnosis_finds_the_patch(folder):
    case = ["--bad", str(folder / "bad.npz"), "--good", str(folder / "good.npz")]
    truth = ["--truth", str(folder / "truth.npy")]
    shown = invoke("diagnose", RUN, *case, *truth, "--picture", str(folder / "blame.png"))
    assert "AUROC of the inputs' blame: 1.0000" in shown
    assert (folder / "blame.png").read_bytes().startswith(b"\x89PNG")
    through_time = invoke("diagnose", RUN, *case, *truth, "--every-epoch")
    assert through_time.split()[:5] == ["stage", "epoch", "failures", "note", "input"]


@pytest.mark.neo4j
def test_the_words_wrong_and_right_are_the_runs_test_samples(folder):
    shown = invoke("diagnose", RUN, "--bad", "wrong", "--good", "right")
    count = int(shown.split()[0])
    assert 0 < count < len(load_data("digits").test_labels) / 4
    assert f"{count} of {count} bad samples fail" in shown


@pytest.mark.neo4j
def test_a_query_names_samples_or_classes(folder):
    labels = load_data("digits").test_labels
    shown = invoke("diagnose", RUN, "--bad", "UNWIND [1, 3, 5, 8, 9] AS label RETURN label")
    classes = sum(int((labels == digit).sum()) for digit in (1, 3, 5, 8, 9))
    assert f"of {classes} bad samples fail" in shown
    mine = "MATCH (r:Run {run_id: $run_id}) UNWIND range(0, 358) AS sample RETURN sample"
    everything = invoke("diagnose", RUN, "--bad", mine, "--good", "unwind range(0, 99) as sample return sample")
    wrong = invoke("diagnose", RUN, "--bad", "wrong", "--good", "right").split()[0]
    assert everything.startswith(f"{wrong} of 359 bad samples fail")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("RETURN 1 AS place", "returned 1 rows of place; it returns one at least, of the column sample"),
        ("UNWIND [] AS label RETURN label", "returned 0 rows of label"),
        ("RETURN 10 AS label", "returned label 10, which is not a whole number below 10"),
        ("RETURN 0.5 AS sample", "returned sample 0.5, which is not a whole number below 359"),
        ("CREATE (n:Sample) RETURN 1 AS sample", "read_only"),
    ],
)
@pytest.mark.neo4j
def test_a_query_that_names_no_samples_is_refused(folder, query, message):
    with pytest.raises(AttrGraphError, match=message):
        invoke("diagnose", RUN, "--bad", query)


@pytest.mark.neo4j
def test_the_recipes_are_jobs(folder):
    case = {"run": RUN, "bad": str(folder / "bad.npz"), "good": str(folder / "good.npz")}
    found = run_job("diagnosis", diagnose_run=case)
    assert found["bad_samples_that_fail"] > 0
    assert "| input |" in found["inputs_to_blame"].splitlines()[2]
    assert found["blame"].startswith("![")
    operated = run_job("surgery", operate_on_run=case | {"name": "by_job", "steps": 5})
    assert operated["advice"].startswith(("operate", "do not operate"))
    assert (folder / RUN / "surgery" / "by_job" / "undo.safetensors").exists()


def test_a_stream_is_a_job():
    found = run_job("stream", run_stream_of_tasks={"tasks": 1, "epochs": 1, "utilities": ["random"]})
    assert [line.split(" | ")[0] for line in found["summary"].splitlines()[2:]] == ["| none", "| random"]
    failed = defs.resolve_job_def("stream").execute_in_process(
        run_config={"ops": {"run_stream_of_tasks": {"config": {"utilities": ["luck"]}}}}, raise_on_error=False
    )
    (failure,) = [event for event in failed.all_events if event.is_step_failure]
    assert "unknown utility 'luck'" in failure.step_failure_data.user_failure_data.description


def run_job(name, **config):
    """The metadata of what a job of one step gives."""
    ops = {op: {"config": values} for op, values in config.items()}
    result = defs.resolve_job_def(name).execute_in_process(run_config={"ops": ops})
    (output,) = [event for event in result.all_events if event.is_successful_output]
    return {key: value.value for key, value in output.step_output_data.metadata.items()}


@pytest.mark.neo4j
def test_a_graph_of_samples_is_asked_by_its_target(folder):
    shown = invoke("graph", "attribute", RUN, "--samples", str(folder / "bad.npz"), "--name", "patched")
    assert f"{RUN}/stage_1/epoch_1/deeplift/samples:patched" in shown.splitlines()
    shown = invoke("query", "top_edges", "--run", RUN, "--target", "samples:patched", "-p", "top_k=3", "-f", "csv")
    assert sum("," in line for line in shown.splitlines()) == 4


@pytest.mark.neo4j
def test_surgery_reports_and_is_undone_to_the_bit(folder):
    original = folder / RUN / "stage_1" / "epoch_001.safetensors"
    before = weights_hash(load_weights(original))
    case = ["--bad", str(folder / "bad.npz"), "--good", str(folder / "good.npz")]
    shown = invoke("surgery", RUN, *case, "--name", "first", "--steps", "10")
    assert "Advice: " in shown
    own = folder / RUN / "surgery" / "first"
    report = pd.read_csv(own / "report.csv").set_index("method")
    about = json.loads((own / "operation.json").read_text())
    assert report.loc[about["method"], "failure_rate"] < 0.1 < 0.9 < report.loc["unchanged", "failure_rate"]
    assert len(pd.read_csv(own / "removed_edges.csv")) == about["removed_edges"] > 0
    with GraphStore.open() as store:
        assert about["circuit_id"] in store.query("stored_circuits", run_id=RUN)["circuit_id"].tolist()
    assert weights_hash(load_weights(original)) == before != weights_hash(load_weights(own / "mended.safetensors"))
    assert "the same to the bit" in invoke("surgery", "undo", RUN, "--name", "first")
    assert weights_hash(load_weights(own / "restored.safetensors")) == before


@pytest.fixture
def convolutional(folder):
    """A run with a backdoor in a convolutional network, and the case's options."""
    run_id = f"{RUN}-cnn"
    model, case = backdoored_cnn()
    keep_weights(folder, run_id, model)
    for name, samples in case._asdict().items():
        np.savez(folder / f"{name}_images.npz", inputs=samples.inputs.numpy(), labels=samples.labels.numpy())
    configuration = {
        "dataset": {"factory": "digits_images", "arguments": {}},
        "model": {"factory": "small_cnn", "arguments": CNN},
    }
    with GraphStore.open() as store:
        store.save_run(run_id, "surgery_test", 0, "c", "v", configuration=configuration)
        yield run_id, ["--bad", str(folder / "bad_images.npz"), "--good", str(folder / "good_images.npz")]
        store.delete_run(run_id)


@pytest.mark.neo4j
def test_convolutions_are_unrolled_on_request(folder, convolutional):
    run_id, case = convolutional
    invoke("diagnose", run_id, *case)
    shown = invoke("diagnose", run_id, *case, "--unroll", "--top", "40")
    assert "conv1.positions" in shown
    with GraphStore.open() as store:
        graphs = store.run_cypher("MATCH (g:AttributionGraph {run_id: $id}) RETURN g.target AS target", {"id": run_id})
    kinds = [target.split(":")[::2] for target in graphs["target"]]
    assert sorted(kinds) == [["failure"], ["failure", "positions"], ["success"], ["success", "positions"]]
    invoke("surgery", run_id, *case, "--unroll", "--steps", "5")
    own = folder / run_id / "surgery" / "surgery"
    report = pd.read_csv(own / "report.csv").set_index("method")
    assert report.loc["blamed edges", "failure_rate"] < 0.2 < 0.9 < report.loc["unchanged", "failure_rate"]
    assert json.loads((own / "operation.json").read_text())["unrolled"]
    images = load_data("digits_images")
    mended = unroll(build_model("small_cnn", CNN, images, 0), images.test_inputs)
    mended.load_state_dict(load_weights(own / "mended.safetensors"))
    assert "the same to the bit" in invoke("surgery", "undo", run_id)


@pytest.mark.neo4j
def test_what_is_not_there_is_named(folder):
    with pytest.raises(AttrGraphError, match="Sequential has no convolution that could be unrolled"):
        invoke("diagnose", RUN, "--bad", "wrong", "--unroll")
    with pytest.raises(AttrGraphError, match="has no surgery 'second'; it has"):
        invoke("surgery", "undo", RUN, "--name", "second")
    with pytest.raises(AttrGraphError, match="has no epoch 7; its last is epoch 1 of stage 1"):
        invoke("diagnose", RUN, "--bad", "wrong", "--epoch", "7")
    with pytest.raises(AttrGraphError, match=r"'nowhere\.npz' is no file"):
        invoke("diagnose", RUN, "--bad", "nowhere.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bad", "wrng"], "'wrng' is no file; samples are a .npz"),
        (["--bad", "wrong", "--picture", "nowhere/blame.png"], "there is no folder .*nowhere"),
        (["--bad", "wrong", "--picture", "blame.xyz"], r"does not end in \.png, \.svg, \.pdf"),
        (["--bad", "wrong", "--picture", "blame.png", "--every-epoch"], "--picture is of one epoch"),
        (["--bad", "wrong", "--truth", "bad.npz"], r"is not a \.npy, but a \.npz of inputs, labels"),
    ],
)
@pytest.mark.neo4j
def test_a_diagnosis_refuses_a_wrong_option_before_any_work(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    with pytest.raises(AttrGraphError, match=message):
        invoke("diagnose", RUN, *arguments)


def test_a_stream_shows_each_way_of_recycling(tmp_path):
    output = tmp_path / "stream.csv"
    shown = invoke(
        "stream", "--tasks", "2", "--epochs", "1", "--utility", "influence", "--utility", "random", "-o", str(output)
    )
    assert shown.split()[shown.split().index("recycling") :][:3] == ["recycling", "first_accuracy", "accuracy"]
    table = pd.read_csv(output)
    assert table.groupby("recycling")["task"].apply(list).to_dict() == {
        "influence": [1, 2], "none": [1, 2], "random": [1, 2]
    }  # fmt: skip
    at_the_end = table[table["task"] == 2].set_index("recycling")["renewed"]
    assert at_the_end["none"] == 0 < at_the_end["influence"] == at_the_end["random"]
    with pytest.raises(AttrGraphError, match="unknown utility 'luck'"):
        invoke("stream", "--utility", "luck")
    with pytest.raises(AttrGraphError, match="rate is nan; it is the share"):
        invoke("stream", "--dataset", "read_after_the_rate", "--rate", "nan")
