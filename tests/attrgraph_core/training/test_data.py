"""Data sets become tensors: what is read, how it is split, and each kind of bad data by the item it is in."""

import sys
import types

import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset, TensorDataset

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.data import load_data, stratified_split, with_validation


@pytest.fixture
def user_module(monkeypatch):
    """An importable module `their_data`; tests put functions into it."""
    module = types.ModuleType("their_data")
    monkeypatch.setitem(sys.modules, "their_data", module)
    return module


def items(*labels):
    return [([float(position), 0.5], label) for position, label in enumerate(labels)]


GOOD = items(0, 1, 0, 1)


def load(user_module, made, **arguments):
    user_module.make = lambda **given: made
    return load_data("their_data:make", arguments)


@pytest.mark.parametrize(("name", "shape"), [("digits", (64,)), ("digits_images", (1, 8, 8))])
def test_digits(name, shape):
    data = load_data(name)
    assert (data.input_shape, data.class_count, data.name) == (shape, 10, name)
    assert data.train_inputs.shape == (1438, *shape)
    assert data.test_inputs.shape == (359, *shape)
    assert (data.train_inputs.dtype, data.train_labels.dtype) == (torch.float32, torch.int64)
    assert (data.train_inputs.min(), data.train_inputs.max()) == (0.0, 1.0)
    assert data.test_labels.bincount().tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert data.fingerprint == load_data(name).fingerprint


def test_a_pair_is_taken_as_it_is(user_module):
    test = TensorDataset(torch.tensor([[7, 8]]), torch.tensor([1]))
    data = load(user_module, (GOOD, test))
    assert data.train_inputs.tolist() == [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5], [3.0, 0.5]]
    assert data.train_labels.tolist() == [0, 1, 0, 1]
    assert (data.test_inputs.tolist(), data.test_labels.tolist()) == ([[7.0, 8.0]], [1])


def test_one_set_is_split_by_class(user_module):
    data = load(user_module, items(*[0] * 10, *[1] * 5, 2, 2))
    assert data.train_labels.tolist() == [0] * 8 + [1] * 4 + [2, 2]
    assert data.test_labels.tolist() == [0, 0, 1]
    everything = torch.cat([data.train_inputs, data.test_inputs])[:, 0]
    assert sorted(everything.tolist()) == list(range(17))


def test_split_is_a_fifth_of_each_class_rounded_half_up():
    labels = np.repeat(np.arange(5), [1, 2, 3, 8, 12])
    train, test = stratified_split(labels)
    assert np.bincount(labels[test], minlength=5).tolist() == [0, 0, 1, 2, 2]
    assert sorted([*train, *test]) == list(range(26))


def test_every_item_is_read_once_even_into_one_buffer(user_module):
    class Reused:
        buffer = np.zeros(2)
        reads = 0

        def __len__(self):
            return 4

        def __getitem__(self, index):
            self.reads += 1
            self.buffer[:] = index
            return self.buffer, index % 2

    made = Reused()
    data = load(user_module, (made, GOOD))
    assert made.reads == 4
    assert data.train_inputs[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_fingerprint_changes_with_any_value_and_with_shapes(user_module):
    fingerprints = {
        load(user_module, made).fingerprint
        for made in [
            (GOOD, GOOD),
            (GOOD, items(0, 1)),
            (GOOD, items(0, 1, 1, 1)),
            ([([value], label) for (value, _), label in GOOD],) * 2,
        ]
    }
    assert len(fingerprints) == 4


def test_arguments_reach_the_factory(user_module):
    user_module.make = lambda count: (items(*[0, 1] * count), GOOD)
    assert len(load_data("their_data:make", {"count": 3}).train_labels) == 6
    with pytest.raises(AttrGraphError, match="do not fit their_data:make"):
        load_data("their_data:make", {"size": 3})
    with pytest.raises(AttrGraphError, match=r"their_data:make failed with the arguments .*TypeError"):
        load_data("their_data:make", {"count": "three"})


class Stream(IterableDataset):
    """Has no length."""

    def __iter__(self):
        return iter(GOOD)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([], "dataset 'their_data:make' is empty"),
        ((GOOD, []), "the test set of 'their_data:make' is empty"),
        ((GOOD, GOOD, GOOD), "returned 3 things"),
        (Stream(), "is a Stream, not map-style"),
        (None, "is a NoneType, not map-style"),
        ([*GOOD, 5], "item 4 of the dataset 'their_data:make' is a int, not a pair"),
        ([*GOOD, ([1.0, 2.0], 0, 0)], "item 4 of the dataset 'their_data:make' is a tuple, not a pair"),
        ({0: GOOD[0], 2: GOOD[1]}, "item 1 of the dataset 'their_data:make' cannot be read: KeyError: 1"),
        (
            [*GOOD, ([1.0], 0)],
            "item 4 of the dataset 'their_data:make' has an input of shape (1,), where item 0 has (2,)",
        ),
        ([*GOOD, ([1.0, float("nan")], 0)], "item 4 of the dataset 'their_data:make' has an input with NaN"),
        (
            (GOOD, [([1.0, float("inf")], 0)]),
            "item 0 of the test set of 'their_data:make' has an input with NaN or inf",
        ),
        (
            [*GOOD, (["a", "b"], 0)],
            "item 4 of the dataset 'their_data:make' has an input that is not an array of numbers",
        ),
        ([(1.0, 0)], "item 0 of the dataset 'their_data:make' has an input of shape ()"),
        ([*GOOD, ([1.0, 2.0], 0.5)], "item 4 of the dataset 'their_data:make' has the label 0.5"),
        ([*GOOD, ([1.0, 2.0], "cat")], "item 4 of the dataset 'their_data:make' has the label 'cat'"),
        ([*GOOD, ([1.0, 2.0], -1)], "item 4 of the dataset 'their_data:make' has the label -1"),
        (items(0, 0, 0), "samples of one class only"),
        (items(1, 2, 1, 2), "no training sample of dataset 'their_data:make' has label 0"),
        (items(0, 1, 0, 1), "has 4 samples, too few to split off a test set"),
        ((GOOD, items(0, 2)), "item 1 of the test set of 'their_data:make' has label 2, which no training sample has"),
        ((GOOD, [([1.0], 0)]), "test inputs have shape (1,), training inputs (2,)"),
    ],
)
def test_names_what_is_wrong(user_module, made, message):
    with pytest.raises(AttrGraphError) as caught:
        load(user_module, made)
    assert message in str(caught.value)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(
        AttrGraphError, match=r"unknown dataset 'mnist'; known are digits, digits_images, mnist1d, .* and package"
    ):
        load_data("mnist")


def test_validation_is_a_fixed_fifth_of_the_training_samples():
    data = load_data("digits")
    validation = with_validation(data)
    assert (len(validation.train_labels), len(validation.test_labels)) == (1151, 287)
    parts = torch.cat([validation.train_inputs, validation.test_inputs])
    assert sorted(parts.tolist()) == sorted(data.train_inputs.tolist())
    assert validation.fingerprint == with_validation(load_data("digits")).fingerprint != data.fingerprint


def test_too_few_samples_to_validate_on_are_refused(user_module):
    with pytest.raises(AttrGraphError, match="has 4 training samples, too few to validate on"):
        with_validation(load(user_module, (GOOD, GOOD)))
