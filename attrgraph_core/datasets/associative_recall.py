"""Associative recall, a task of sequences: pairs of key and value, then a key, whose value is asked for.

`a 2 c 0 b 1 c` has the answer `0`. The answer depends on two tokens together and on no single one: which pair counts
is known from the last token alone (Graves et al., 2014, and many since).
"""

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import TensorDataset

from attrgraph_core.errors import AttrGraphError

TEST_SHARE = 0.2


def associative_recall(
    pairs: int = 3, keys: int = 5, values: int = 4, samples: int = 5000, seed: int = 0
) -> tuple[TensorDataset, TensorDataset]:
    """Training and test items (one-hot tokens (2 pairs + 1, keys + values), the value asked for).

    Tokens 0 to keys - 1 are keys, the others values; keys of one sequence differ. A fifth is for the test; no sequence
    is in both. Raises AttrGraphError where there are more pairs than keys or fewer sequences than samples.
    """
    _check(pairs, keys, values, samples)
    generator = np.random.default_rng(seed)
    tokens: dict[tuple[int, ...], int] = {}
    while len(tokens) < samples:
        chosen, given = generator.permutation(keys)[:pairs], generator.integers(values, size=pairs)
        asked = int(generator.integers(pairs))
        sequence = np.append(np.stack([chosen, keys + given], axis=1).reshape(-1), chosen[asked])
        tokens[tuple(sequence.tolist())] = int(given[asked])
    inputs = functional.one_hot(torch.tensor(list(tokens)), keys + values).float()
    labels = torch.tensor(list(tokens.values()))
    train = round(samples * (1 - TEST_SHARE))
    return TensorDataset(inputs[:train], labels[:train]), TensorDataset(inputs[train:], labels[train:])


def _check(pairs: int, keys: int, values: int, samples: int) -> None:
    if not 1 <= pairs <= keys:
        raise AttrGraphError(f"pairs is {pairs}; keys differ, so with {keys} of them it is from 1 to {keys}")
    if values < 2:
        raise AttrGraphError(f"values is {values}; there is something to recall from 2 on")
    possible = int(np.prod(range(keys - pairs + 1, keys + 1))) * values**pairs * pairs
    if not 10 <= samples <= possible // 2:
        raise AttrGraphError(
            f"samples is {samples}; there are {possible} different sequences, of which 10 to half can be drawn; "
            "raise pairs, keys or values"
        )
