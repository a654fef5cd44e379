"""Scikit-learn's 1797 handwritten digits, 8 by 8 pixels, flat or as images.

They come with scikit-learn, so nothing is downloaded.
"""

import numpy as np
import torch
from torch.utils.data import TensorDataset

LARGEST_PIXEL = 16.0


def digits() -> TensorDataset:
    """Items (64 features in [0, 1], digit)."""
    return _digits((64,))


def digits_images() -> TensorDataset:
    """Items (image of shape (1, 8, 8) in [0, 1], digit): (channel, row, column)."""
    return _digits((1, 8, 8))


def _digits(shape: tuple[int, ...]) -> TensorDataset:
    from sklearn.datasets import load_digits  # slow to import, and needed by these two alone

    pixels, labels = load_digits(return_X_y=True)
    inputs = torch.from_numpy((pixels / LARGEST_PIXEL).astype(np.float32)).reshape(-1, *shape)
    return TensorDataset(inputs, torch.from_numpy(labels.astype(np.int64)))
