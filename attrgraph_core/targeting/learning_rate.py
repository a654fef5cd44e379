"""How a learning rate grows when fewer neurons train.

A rule of thumb from own experiments (small MLPs on digits and MNIST-1D, rates chosen on validation): a quarter of the
neurons wanted about three times the rate of all of them. A power law through that point and 1; no law.
"""

from attrgraph_core.errors import AttrGraphError

EXPONENT = 0.8  # 0.25 ** -0.8 = 3.03
LARGEST_SCALE = 10.0


def scaled_learning_rate(learning_rate: float, share: float) -> float:
    """The rate for training a `share` in (0, 1] of the neurons, from that for all: times share^-0.8, at most ten."""
    if not 0 < share <= 1:
        raise AttrGraphError(f"the share of neurons is {share}; it is above 0 and at most 1")
    return learning_rate * min(share**-EXPONENT, LARGEST_SCALE)
