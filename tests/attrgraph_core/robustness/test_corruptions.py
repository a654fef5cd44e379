"""Corruptions by hand, and that each is worse the more severe it is."""

import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.robustness.corruptions import (
    CORRUPTIONS,
    blur,
    contrast,
    corruptions_of,
    gaussian_noise,
    occlusion,
)
from attrgraph_core.robustness.robust_accuracy import accuracy, corrupted_accuracy
from attrgraph_core.training.data import load_data


@pytest.fixture(scope="module")
def images():
    return load_data("digits_images").test_inputs


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_is_farther_from_the_images_with_each_severity_and_stays_in_their_range(images, name):
    distances = []
    for severity in range(1, 6):
        changed = CORRUPTIONS[name](images, severity)
        assert changed.shape == images.shape
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert torch.equal(changed, CORRUPTIONS[name](images, severity))
        distances.append(float((changed - images).square().mean()))
    assert distances == sorted(distances)
    assert distances[0] > 0
    assert distances[4] > 2 * distances[0]


def test_blur_is_the_gaussian_kernel_of_scipy(images):
    from scipy.ndimage import gaussian_filter

    # Radius of three deviations, as ours.
    expected = gaussian_filter(images[0, 0].double().numpy(), 0.8, mode="nearest", radius=3)
    torch.testing.assert_close(blur(images, 3)[0, 0].double(), torch.from_numpy(expected), rtol=0, atol=1e-6)


def test_a_square_of_each_image_is_hidden(images):
    changed = occlusion(images + 2.0, 4)  # a side of half of eight; no pixel is at the mean before
    hidden = changed == (images + 2.0).mean()
    assert (hidden.flatten(1).sum(dim=1) == 16).all()
    rows, columns = hidden[0, 0].any(dim=1), hidden[0, 0].any(dim=0)
    assert (int(rows.sum()), int(columns.sum())) == (4, 4)
    assert len({tuple(square.flatten().tolist()) for square in hidden}) > 10


def test_contrast_keeps_the_mean_of_each_image(images):
    changed = contrast(images, 5)
    torch.testing.assert_close(changed.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)))
    torch.testing.assert_close(changed.std(dim=(1, 2, 3)), 0.15 * images.std(dim=(1, 2, 3)))


def test_accuracy_falls_under_every_corruption(digits_cnn):
    model, inputs, labels = digits_cnn
    table = corrupted_accuracy(model, inputs, labels, corruptions_of(inputs))
    assert list(table.columns) == ["corruption", "severity", "accuracy"]
    assert len(table) == 20
    worst = table[table["severity"] == 5].set_index("corruption")["accuracy"]
    assert (worst < accuracy(model, inputs, labels) - 0.03).all()


def test_what_is_no_image_has_noise_alone():
    rows = torch.zeros(4, 6)
    assert list(corruptions_of(rows)) == ["gaussian_noise"]
    with pytest.raises(AttrGraphError, match=r"inputs of shape \(4, 6\) are no images"):
        blur(rows, 1)
    with pytest.raises(AttrGraphError, match="severity is 6, not a whole number from 1 to 5"):
        gaussian_noise(rows, 6)
