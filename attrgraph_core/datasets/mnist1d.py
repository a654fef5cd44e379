"""MNIST-1D: ten one-dimensional digits that a linear classifier cannot tell apart (Greydanus, 2020; arXiv 2011.14439).

Each sample is its digit's template of 12 points, padded with zeros (36 to 60 of them), stretched to 72 points, scaled,
translated, given smooth noise where it is zero and white noise everywhere, sheared, and sampled at 40 points. All
samples together are standardised, as in the paper. The templates' values are those of the authors' package `mnist1d`
(Apache-2.0); the draws are our own, so that samples are not those of the file that they give out.
"""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch.utils.data import TensorDataset

from attrgraph_core.errors import AttrGraphError

Floats = NDArray[np.float64]

CLASS_COUNT = 10
PADDING = (36, 60)
STRETCHED = 72
LENGTH = 40
SCALE = 0.4
MAX_TRANSLATION = 48
SMOOTH_NOISE, SMOOTHNESS = 0.25, 2.0
WHITE_NOISE = 0.02
SHEAR = 0.75
TEST_SHARE = 0.2
SEED = 42

TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)


def mnist1d(samples: int = 5000, seed: int = SEED) -> tuple[TensorDataset, TensorDataset]:
    """Training and test items (40 features, digit); a fifth is for the test, and each class has a tenth of both.

    Raises AttrGraphError for a number of samples that is no multiple of 50.
    """
    return _mnist1d((LENGTH,), samples, seed)


def mnist1d_signals(samples: int = 5000, seed: int = SEED) -> tuple[TensorDataset, TensorDataset]:
    """The same for networks of one-dimensional convolutions: (1, 40) features, (channel, position)."""
    return _mnist1d((1, LENGTH), samples, seed)


def _mnist1d(shape: tuple[int, ...], samples: int, seed: int) -> tuple[TensorDataset, TensorDataset]:
    if samples < 50 or samples % 50:
        raise AttrGraphError(f"samples is {samples}; ten classes, a fifth of each for the test, take a multiple of 50")
    generator = np.random.default_rng(seed)
    labels = np.tile(np.arange(CLASS_COUNT), samples // CLASS_COUNT)  # whole rounds: every part has all classes alike
    signals = np.stack([_signal(digit, generator) for digit in labels])
    signals = (signals - signals.mean()) / signals.std()
    inputs = torch.from_numpy(signals.astype(np.float32)).reshape(-1, *shape)
    train = round(samples * (1 - TEST_SHARE))
    whole = torch.from_numpy(labels.astype(np.int64))
    return TensorDataset(inputs[:train], whole[:train]), TensorDataset(inputs[train:], whole[train:])


@cache
def templates() -> Floats:
    """The ten digits, (10, 12): standardised, each begins at zero, a sixth of unit size."""
    values = np.array(TEMPLATES, dtype=np.float64)
    values = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    return (values - values[:, :1]) / 6


def _signal(digit: int, generator: np.random.Generator) -> Floats:
    template = templates()[digit] + 1e-8  # its own zeros are signal, those of the padding are not
    padded = np.concatenate([template, np.zeros(generator.integers(PADDING[0], PADDING[1] + 1))])
    signal = _resampled(padded, STRETCHED) * (1 + SCALE * (generator.random() - 0.5))
    signal = np.roll(signal, generator.integers(MAX_TRANSLATION))
    smooth = gaussian_filter1d(SMOOTH_NOISE * generator.standard_normal(STRETCHED), SMOOTHNESS)
    signal = np.where(signal == 0, smooth, signal) + WHITE_NOISE * generator.standard_normal(STRETCHED)
    slope = SHEAR * (generator.random() - 0.5)
    return _resampled(signal - slope * np.linspace(-0.5, 0.5, STRETCHED), LENGTH)


def _resampled(signal: Floats, length: int) -> Floats:
    return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(signal)), signal)
