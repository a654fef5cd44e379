"""Seeds and the random state."""

import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.reproducibility import derive_seed, seeded


def test_derived_seeds_differ_by_number_and_order():
    assert len({derive_seed(0), derive_seed(1), derive_seed(0, 1), derive_seed(1, 0)}) == 4
    assert derive_seed(3, 4) == derive_seed(3, 4)


def test_a_negative_seed_is_refused():
    with pytest.raises(AttrGraphError, match="a seed cannot be negative"):
        derive_seed(0, -1)


def test_random_state_is_set_inside_and_restored_after():
    before = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(2)
    with seeded(3):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.get_rng_state(), before)
