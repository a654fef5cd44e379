"""The rule of thumb for the learning rate of small sets."""

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.learning_rate import scaled_learning_rate


@pytest.mark.parametrize(("share", "expected"), [(1.0, 0.01), (0.25, 0.0303143), (0.5, 0.0174110), (0.001, 0.1)])
def test_three_times_at_a_quarter(share, expected):
    assert scaled_learning_rate(0.01, share) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_refuses_what_is_no_share(share):
    with pytest.raises(AttrGraphError, match="share of neurons"):
        scaled_learning_rate(0.01, share)
