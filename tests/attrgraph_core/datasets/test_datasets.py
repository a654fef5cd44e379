"""The built-in sets: their shapes, what the papers say of them, and that training and test samples are apart."""

import mnist1d.data
import mnist1d.transform
import numpy as np
import pytest
import torch

from attrgraph_core import attribute
from attrgraph_core.datasets.associative_recall import associative_recall
from attrgraph_core.datasets.mnist1d import templates
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.data import load_data
from attrgraph_core.training.models import build_model
from attrgraph_core.training.stage import TrainingSettings, train_stage


@pytest.mark.parametrize(
    ("name", "shape", "classes", "train", "test"),
    [
        ("digits", (64,), 10, 1438, 359),
        ("digits_images", (1, 8, 8), 10, 1438, 359),
        ("mnist1d", (40,), 10, 4000, 1000),
        ("mnist1d_signals", (1, 40), 10, 4000, 1000),
        ("breast_cancer", (30,), 2, 456, 113),
        ("associative_recall", (7, 9), 4, 4000, 1000),
    ],
)
def test_is_of_its_shape_and_always_the_same(name, shape, classes, train, test):
    data = load_data(name)
    assert (data.input_shape, data.class_count) == (shape, classes)
    assert (len(data.train_labels), len(data.test_labels)) == (train, test)
    assert data.fingerprint == load_data(name).fingerprint
    if name != "digits":  # which has a few that are alike
        rows = {tuple(row.tolist()) for row in data.train_inputs.flatten(1)}
        assert not any(tuple(row.tolist()) in rows for row in data.test_inputs.flatten(1))


def test_mnist1d_has_the_templates_and_the_spread_of_the_papers_own():
    known = mnist1d.data.get_templates()
    np.testing.assert_allclose(templates(), known["x"], rtol=0, atol=1e-12)
    theirs = mnist1d.data.make_dataset()
    ours = load_data("mnist1d")
    assert ours.train_labels.bincount().tolist() == [400] * 10
    assert ours.test_labels.bincount().tolist() == [100] * 10
    inputs, labels = ours.train_inputs.numpy(), ours.train_labels.numpy()
    for digit in range(10):
        one, two = inputs[labels == digit], theirs["x"][theirs["y"] == digit]
        # Standard errors of a mean of 400 are 0.05; of the positions' deviations 0.035.
        assert np.abs(one.mean(axis=0) - two.mean(axis=0)).max() < 0.3
        assert np.abs(one.std(axis=0) - two.std(axis=0)).max() < 0.3
    # Smooth along the signal as theirs: the mean square of a step from one point to the next.
    steps = [np.square(np.diff(values, axis=1)).mean() for values in (inputs, theirs["x"])]
    assert steps[0] == pytest.approx(steps[1], rel=0.05)


def test_mnist1d_by_another_seed_is_another_draw():
    assert load_data("mnist1d", {"samples": 100}).fingerprint != load_data(
        "mnist1d", {"samples": 100, "seed": 1}
    ).fingerprint  # fmt: skip
    with pytest.raises(AttrGraphError, match=r"samples is 105; .* multiple of 50"):
        load_data("mnist1d", {"samples": 105})


def test_breast_cancer_is_standardised_by_its_training_samples():
    data = load_data("breast_cancer")
    torch.testing.assert_close(data.train_inputs.mean(dim=0), torch.zeros(30), rtol=0, atol=1e-5)
    torch.testing.assert_close(data.train_inputs.std(dim=0, correction=0), torch.ones(30), rtol=0, atol=1e-5)
    assert data.test_inputs.mean(dim=0).abs().max() > 0.01


def test_recall_answers_with_the_value_beside_the_key_asked_for():
    data = load_data("associative_recall")
    tokens = data.train_inputs.argmax(dim=2)
    assert torch.equal(data.train_inputs.sum(dim=2), torch.ones(4000, 7))
    for sequence, answer in zip(tokens.tolist(), data.train_labels.tolist(), strict=True):
        keys, values = sequence[0:6:2], sequence[1:6:2]
        assert len(set(keys)) == 3
        assert max(keys) < 5 <= min(values)
        assert values[keys.index(sequence[6])] == 5 + answer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pairs": 6}, "pairs is 6; keys differ, so with 5 of them it is from 1 to 5"),
        ({"values": 1}, "values is 1; there is something to recall from 2 on"),
        ({"keys": 3}, "samples is 5000; there are 1152 different sequences"),
    ],
)
def test_recall_names_what_is_wrong(arguments, message):
    with pytest.raises(AttrGraphError, match=message):
        associative_recall(**arguments)


def test_an_embedding_classifier_learns_recall_and_has_a_graph():
    data = load_data("associative_recall")
    model = build_model("embedding_classifier", {"hidden": [96]}, data, 0)
    result = train_stage(model, data, TrainingSettings(8, 5e-3, schedule="constant"), seed=0, stage=1)
    assert result.epochs[-1].accuracy > 0.75  # one in four by chance, a half with the set of values alone
    graph = attribute(model, data.test_inputs[:16], data.test_labels[:16], baseline=data.train_inputs.mean(dim=0))
    assert graph.completeness_delta < 1e-4
    assert set(graph.neurons["layer"]) == {"input", "embedding", "fc1", "output"}
