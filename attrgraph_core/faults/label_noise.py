"""Symmetric label noise: some training labels become another class, each other class as likely."""

import torch
from torch import Tensor

from attrgraph_core.faults.share import drawn_rows
from attrgraph_core.training.data import TrainingData, with_samples


def label_noise(data: TrainingData, share: float, seed: int = 0) -> TrainingData:
    """The data with wrong labels for a `share` of the training samples of each class; test samples stay as they are.

    A class keeps at least one right label. Raises AttrGraphError for a share that is not from 0 to 1.
    """
    labels = data.train_labels.clone()
    rows = noisy_rows(data, share, seed)
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(1, data.class_count, (len(rows),), generator=generator)
    labels[rows] = (labels[rows] + shift) % data.class_count
    return with_samples(data, train=(data.train_inputs, labels))


def noisy_rows(data: TrainingData, share: float, seed: int = 0) -> Tensor:
    """The places of the training samples whose labels `label_noise` makes wrong, sorted."""
    return drawn_rows(data.train_labels, share, seed)
