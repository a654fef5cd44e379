"""Small data for the tests of peers."""

import pytest
import torch

from attrgraph_core.training.data import TrainingData, fingerprint


@pytest.fixture
def data():
    """41 training and 12 test samples of three classes and six features, each class bright at one of its own."""
    generator = torch.Generator().manual_seed(0)

    def samples(size):
        labels = torch.arange(size) % 3
        inputs = torch.randn(size, 6, generator=generator)
        inputs[torch.arange(size), labels] += 4.0
        return inputs, labels

    train, test = samples(41), samples(12)
    return TrainingData(*train, *test, fingerprint(*train, *test), 3, (6,), "separable")
