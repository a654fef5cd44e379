"""A table: 569 tumours by 30 measurements, malignant or benign, which comes with scikit-learn.

Each column has mean 0 and deviation 1 over the training samples; the test samples are scaled by the same figures.
"""

import numpy as np
import torch
from torch.utils.data import TensorDataset


def breast_cancer() -> tuple[TensorDataset, TensorDataset]:
    """Training and test items (30 features, 0 for malignant or 1 for benign)."""
    from sklearn.datasets import load_breast_cancer  # slow to import

    from attrgraph_core.training.data import stratified_split  # which knows the built-in sets

    values, labels = load_breast_cancer(return_X_y=True)
    train, test = stratified_split(labels)
    mean, deviation = values[train].mean(axis=0), values[train].std(axis=0)
    inputs = torch.from_numpy(((values - mean) / deviation).astype(np.float32))
    whole = torch.from_numpy(labels.astype(np.int64))
    return TensorDataset(inputs[train], whole[train]), TensorDataset(inputs[test], whole[test])
