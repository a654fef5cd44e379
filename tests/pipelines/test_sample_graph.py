"""Graphs of samples and of errors of a run's network: their scores by hand, and that queries are asked of them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.training.data import load_data
from attrgraph_core.training.models import build_model
from pipelines.experiments import Attribution
from pipelines.run_model import RunModel
from pipelines.sample_graph import attribute_error, attribute_samples

pytestmark = pytest.mark.neo4j
RUN = "sample-graph-tests"


@pytest.fixture(scope="module")
def run() -> RunModel:
    """An untrained network, which errs a lot."""
    data = load_data("digits")
    model = build_model("mlp", {"hidden": [8]}, data, 0).eval()
    return RunModel(RUN, 2, 3, Path("gone"), model, data, Attribution(samples=20, edge_mass=1.0))


@pytest.fixture(scope="module")
def store(neo4j_connection: Connection):
    with GraphStore.open(neo4j_connection) as opened:
        yield opened
        opened.delete_run(RUN)


def baseline(run: RunModel) -> torch.Tensor:
    """The mean of the attribution sample, as the run's own graphs have it."""
    from attrgraph_core.attribution.sample import attribution_sample

    chosen = attribution_sample(run.data.train_labels.numpy(), 20, seed=0)
    return run.data.train_inputs[chosen].mean(dim=0, keepdim=True)


def test_an_error_is_explained_by_the_wrong_score_less_the_right_one(run, store):
    labels, logits = run.data.test_labels, run.model(run.data.test_inputs).detach()
    taken = logits.argmax(dim=1)
    predicted = int(torch.mode(taken).values)
    true = (predicted + 1) % 10
    chosen = (labels == true) & (taken == predicted)
    saved, count = attribute_error(store, run, true, predicted)
    assert saved.graph_id == f"{RUN}/stage_2/epoch_3/deeplift/error:{true}-{predicted}"
    assert count == int(chosen.sum()) > 0
    graph = store.graph(saved.graph_id)
    margins = [float((scores[:, predicted] - scores[:, true]).mean())
               for scores in (logits[chosen], run.model(baseline(run)).detach())]  # fmt: skip
    inputs = graph.neurons[graph.neurons["layer"] == "input"]
    assert inputs["attribution"].sum() == pytest.approx(margins[0] - margins[1], rel=1e-4)
    paths = store.query("strongest_paths", graph_id=saved.graph_id, top_k=3)
    assert {names[-1].rpartition("/")[2] for names in paths["neurons"]} <= {str(true), str(predicted)}


def test_samples_are_explained_by_their_true_class(run, store, tmp_path):
    inputs, labels = run.data.test_inputs[:7], run.data.test_labels[:7]
    np.savez(tmp_path / "seven.npz", inputs=inputs.numpy(), labels=labels.numpy())
    saved, count = attribute_samples(store, run, str(tmp_path / "seven.npz"))
    assert (saved.target, count) == ("samples:seven", 7)
    scores, reference = run.model(inputs).detach(), run.model(baseline(run)).detach()[0]
    expected = float((scores.gather(1, labels[:, None])[:, 0] - reference[labels]).mean())
    graph = store.graph(saved.graph_id)
    assert graph.neurons.loc[graph.neurons["layer"] == "input", "attribution"].sum() == pytest.approx(
        expected, rel=1e-4
    )
    assert attribute_samples(store, run, "wrong", "mine")[0].target == "samples:mine"


@pytest.mark.parametrize(
    ("pair", "message"), [((3, 3), "takes no test sample of class 3 for class 3"), ((0, 77), "its errors there are")]
)
def test_an_error_that_is_not_made_is_answered_by_those_that_are(run, store, pair, message):
    with pytest.raises(AttrGraphError, match=message) as raised:
        attribute_error(store, run, *pair)
    assert re.search(r"\d-\d \(\d+\)", str(raised.value))


def test_what_cannot_be_a_name_is_refused(run, store):
    with pytest.raises(AttrGraphError, match="the name 'a/b' is not of letters"):
        attribute_samples(store, run, "wrong", "a/b")
    with pytest.raises(AttrGraphError, match="takes no test sample of class 0 for class 1; its errors there are none"):
        attribute_error(store, replace(run, model=Knowing(run)), 0, 1)


class Knowing(torch.nn.Module):
    """Gives each test sample its label."""

    def __init__(self, run: RunModel):
        super().__init__()
        self.logits = torch.nn.functional.one_hot(run.data.test_labels, 10).float()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.logits
