"""Known results, in shape; a short form of `python benchmarks/reference.py`."""

import pytest
import torch

from attrgraph_core.limits.rate_sensitivity import rate_sensitivity
from benchmarks.reference import SHARES, lost_plasticity, other_errors, random_masking


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_random_masking_needs_a_larger_rate():
    results = random_masking(seeds=[0, 1])
    full, masked = rate_sensitivity(results).set_index("method").loc[list(SHARES)].itertuples()
    assert masked.best_rate > 1.5 * full.best_rate  # about 3 times, by steps of 1.8
    means = results.groupby(["method", "learning_rate"])["accuracy"].mean()
    assert means[1.0][masked.best_rate] < full.best_accuracy - 0.05
    assert means[0.25][full.best_rate] < masked.best_accuracy - 0.05


def test_meprop_and_drtp_train_digits_well():
    accuracies = other_errors(seeds=[0], epochs=12).set_index("method")["accuracy"]
    assert accuracies["back-propagation"] > 0.94
    assert accuracies["meProp, a quarter"] > 0.93
    assert accuracies["DRTP"] > 0.88


def test_adam_loses_plasticity_and_continual_backprop_cures_it():
    stream = lost_plasticity(seeds=[0], tasks=15, learning_rate=1e-2)  # a high rate: it is lost within a few tasks
    early, late = (
        stream[part].groupby("method")["accuracy"].mean() for part in (stream["task"] <= 5, stream["task"] > 10)
    )
    assert late["Adam"] < early["Adam"] - 0.1
    assert late["continual backprop"] > late["Adam"] + 0.1
    assert late["continual backprop"] > early["continual backprop"] - 0.15
