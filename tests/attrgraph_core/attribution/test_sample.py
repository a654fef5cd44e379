"""The fixed attribution sample."""

import numpy as np
import pytest

from attrgraph_core.attribution.sample import attribution_sample
from attrgraph_core.errors import AttrGraphError

LABELS = np.array([0] * 60 + [1] * 30 + [2] * 10)


def test_every_class_has_its_share():
    chosen = attribution_sample(LABELS, 20, seed=0)
    assert np.bincount(LABELS[chosen]).tolist() == [12, 6, 2]
    assert len(set(chosen.tolist())) == 20


def test_a_small_sample_still_has_every_class():
    assert sorted(LABELS[attribution_sample(LABELS, 3, seed=1)].tolist()) == [0, 1, 2]


def test_the_seed_decides():
    assert attribution_sample(LABELS, 20, 3).tolist() == attribution_sample(LABELS, 20, 3).tolist()
    assert attribution_sample(LABELS, 20, 3).tolist() != attribution_sample(LABELS, 20, 4).tolist()


def test_a_sample_larger_than_the_data_is_all_of_it():
    assert attribution_sample(LABELS, 1000, 0).tolist() == list(range(100))


def test_fewer_samples_than_classes_are_refused():
    with pytest.raises(AttrGraphError, match=r"^2 samples cannot hold each of the 3 classes; take 3 or more$"):
        attribution_sample(LABELS, 2, seed=0)
