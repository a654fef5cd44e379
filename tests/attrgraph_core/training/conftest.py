"""Small data for the tests of training."""

import pytest
import torch

from attrgraph_core.training.data import TrainingData, fingerprint


def separable_data(shape: tuple[int, ...], count: int = 41) -> TrainingData:
    """`count` training and 12 test samples of three classes, each class bright at features of its own."""
    generator = torch.Generator().manual_seed(0)

    def samples(size: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(size) % 3
        inputs = torch.randn(size, *shape, generator=generator)
        inputs.reshape(size, -1)[torch.arange(size), labels] += 4.0
        return inputs, labels

    train, test = samples(count), samples(12)
    return TrainingData(*train, *test, fingerprint(*train, *test), 3, shape, "separable")


@pytest.fixture
def data():
    return separable_data((6,))


@pytest.fixture
def image_data():
    return separable_data((1, 6, 6))
