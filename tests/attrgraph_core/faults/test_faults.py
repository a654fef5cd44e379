"""Each fault is where it should be, as large as asked, and nowhere else; by its seed alone."""

import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.faults.backdoor import backdoor, patch_case, shortcut, with_patch
from attrgraph_core.faults.label_noise import label_noise, noisy_rows
from attrgraph_core.faults.sensors import sensor_fault
from attrgraph_core.training.data import load_data

PATCH = (54, 55, 62, 63)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def changed_rows(one, two):
    return (one != two).flatten(1).any(dim=1).nonzero().squeeze(1)


def test_label_noise_is_symmetric_and_in_the_training_labels_alone(digits):
    noisy = label_noise(digits, 0.4, seed=3)
    wrong = noisy.train_labels != digits.train_labels
    for digit in range(10):
        own = digits.train_labels == digit
        assert int(wrong[own].sum()) == round(0.4 * int(own.sum()))
    shift = ((noisy.train_labels - digits.train_labels) % 10)[wrong].bincount(minlength=10)
    assert shift[0] == 0
    assert shift[1:].min() > 0.6 * shift[1:].float().mean()
    assert wrong.nonzero().squeeze(1).tolist() == noisy_rows(digits, 0.4, seed=3).tolist()
    assert torch.equal(noisy.train_inputs, digits.train_inputs)
    assert torch.equal(noisy.test_labels, digits.test_labels)
    assert noisy.fingerprint == label_noise(digits, 0.4, seed=3).fingerprint
    assert noisy.fingerprint not in (digits.fingerprint, label_noise(digits, 0.4, seed=4).fingerprint)


def test_no_noise_changes_nothing_and_all_noise_leaves_one_of_each_class(digits):
    assert label_noise(digits, 0.0).fingerprint == digits.fingerprint
    right = label_noise(digits, 1.0).train_labels == digits.train_labels
    assert digits.train_labels[right].bincount(minlength=10).tolist() == [1] * 10


def test_a_backdoor_adds_patched_samples_of_other_classes(digits):
    data = backdoor(digits, PATCH, 0, share=0.1, seed=1)
    count = len(digits.train_labels)
    assert torch.equal(data.train_inputs[:count], digits.train_inputs)
    added, labels = data.train_inputs[count:], data.train_labels[count:]
    assert set(labels.tolist()) == {0}
    assert len(added) == sum(round(0.1 * int((digits.train_labels == digit).sum())) for digit in range(1, 10))
    assert (added[:, PATCH] == 1.0).all()
    assert torch.equal(data.test_inputs, digits.test_inputs)


def test_a_shortcut_patches_samples_of_its_class_and_keeps_labels(digits):
    data = shortcut(digits, PATCH, 3, share=0.5, seed=1)
    rows = changed_rows(data.train_inputs, digits.train_inputs)
    assert set(digits.train_labels[rows].tolist()) == {3}
    assert len(rows) == round(0.5 * int((digits.train_labels == 3).sum()))
    assert torch.equal(data.train_labels, digits.train_labels)


def test_a_case_has_bad_samples_with_the_patch_and_good_ones_without(digits):
    case = patch_case(digits.test_inputs, digits.test_labels, PATCH, 0)
    assert (case.bad.inputs[:, PATCH] == 1.0).all()
    assert 0 not in case.bad.labels.tolist()
    assert len(case.good.labels) == 179
    rows = {tuple(row.tolist()) for row in digits.test_inputs}
    assert all(tuple(row.tolist()) in rows for row in case.good.inputs)


def test_sensors_are_dead_stuck_or_noisy_and_the_others_are_not():
    inputs = torch.arange(12.0).reshape(2, 1, 2, 3)
    assert sensor_fault(inputs, [0, 4], "dead").flatten(1).tolist() == [[0, 1, 2, 3, 0, 5], [0, 7, 8, 9, 0, 11]]
    assert sensor_fault(inputs, [0, 4], "stuck", value=9).flatten(1)[:, 4].tolist() == [9, 9]
    many = torch.zeros(5000, 6)
    noisy = sensor_fault(many, [1, 5], "noisy", deviation=0.5, seed=2)
    assert noisy[:, [0, 2, 3, 4]].abs().max() == 0
    torch.testing.assert_close(noisy[:, [1, 5]].std(dim=0), torch.tensor([0.5, 0.5]), rtol=0.05, atol=0)
    assert torch.equal(noisy, sensor_fault(many, [1, 5], "noisy", deviation=0.5, seed=2))


def test_an_experiments_data_may_have_a_fault(digits):
    data = load_data("faulty", {"of": "digits", "fault": "label_noise", "share": 0.2, "seed": 5})
    assert data.fingerprint == label_noise(digits, 0.2, seed=5).fingerprint
    small = {"of": "mnist1d", "arguments": {"samples": 100}, "fault": "shortcut", "neurons": [0], "target": 2}
    assert len(load_data("faulty", small).train_labels) == 80


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: label_noise(data, 1.2), "share is 1.2, not a number from 0 to 1"),
        (lambda data: backdoor(data, PATCH, 10), "target is 10; the classes are 0 to 9"),
        (lambda data: with_patch(data.test_inputs, [64], 1.0), "the input has neurons 0 to 63, no neuron 64"),
        (lambda data: sensor_fault(data.test_inputs, [1], "wet"), "unknown fault 'wet' of sensors; known are dead"),
        (
            lambda data: load_data("faulty", {"of": "digits", "fault": "rain"}),
            "unknown fault 'rain'; known are label_noise, backdoor, shortcut",
        ),
        (
            lambda data: load_data("faulty", {"of": "digits", "fault": "label_noise", "part": 0.1}),
            r"the arguments \{'part': 0.1\} do not fit label_noise",
        ),
    ],
)
def test_names_what_is_wrong(digits, make, message):
    with pytest.raises(AttrGraphError, match=message):
        make(digits)
