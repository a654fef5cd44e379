"""Three disjoint parts, of which the test opens once."""

import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.study.held_out import study_data
from attrgraph_core.training.data import load_data


def test_the_parts_are_disjoint_and_the_test_is_that_of_the_data():
    data = load_data("digits")
    parts = study_data(data)
    working, test = parts.working, parts.test.open()
    assert torch.equal(test.inputs, data.test_inputs)
    assert len(working.train_labels) + len(working.test_labels) == len(data.train_labels)
    assert abs(len(working.test_labels) / len(data.train_labels) - 0.2) < 0.01
    both = torch.cat([working.train_inputs, working.test_inputs])
    assert torch.equal(both.sum(dim=1).sort().values, data.train_inputs.sum(dim=1).sort().values)
    assert working.fingerprint != data.fingerprint


def test_the_test_opens_once():
    parts = study_data(load_data("digits"))
    parts.test.open()
    with pytest.raises(AttrGraphError, match="looked at already"):
        parts.test.open()
