"""Small data for the tests of peers."""

import pytest

from attrgraph_core.training.data import TrainingData
from tests.attrgraph_core.training.conftest import separable_data


@pytest.fixture
def data() -> TrainingData:
    """41 training and 12 test samples of three classes and six features, each class bright at one of its own."""
    return separable_data((6,))
