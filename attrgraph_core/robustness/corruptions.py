"""Inputs that came out badly, in five severities: noise for all, and more for images (Hendrycks and Dietterich, 2019).

Their severities are for photographs; these are in deviations of the inputs and shares of an image's side, so that they
do for eight by eight pixels.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError

NOISE = (0.1, 0.2, 0.35, 0.5, 0.75)  # deviations of the inputs
BLUR = (0.05, 0.075, 0.1, 0.15, 0.2)  # the kernel's deviation, of the shorter side
OCCLUSION = (0.2, 0.3, 0.4, 0.5, 0.6)  # the square's side, of the shorter side
CONTRAST = (0.75, 0.6, 0.45, 0.3, 0.15)  # what is left of it
SEED = 0


def gaussian_noise(inputs: Tensor, severity: int, seed: int = SEED) -> Tensor:
    """Noise added to every value, kept within the range of the inputs; (samples, ...)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(inputs.shape, generator=generator).to(inputs)
    changed = inputs + _at(NOISE, severity) * inputs.std() * noise
    return changed.clamp(float(inputs.min()), float(inputs.max()))


def blur(inputs: Tensor, severity: int) -> Tensor:
    """Images (samples, channels, rows, columns) through a Gaussian kernel; at the border their edge goes on."""
    _check_images(inputs)
    deviation = _at(BLUR, severity) * min(inputs.shape[2:])
    radius = max(1, math.ceil(3 * deviation))
    places = torch.arange(-radius, radius + 1, dtype=inputs.dtype, device=inputs.device)
    kernel = torch.exp(-places.square() / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(inputs.shape[1], 1, 1, -1)
    padded = functional.pad(inputs, (radius,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel, groups=inputs.shape[1])
    return functional.conv2d(across, kernel.transpose(2, 3), groups=inputs.shape[1])


def occlusion(inputs: Tensor, severity: int, seed: int = SEED) -> Tensor:
    """Images with a square at the inputs' mean, anywhere in each."""
    _check_images(inputs)
    rows, columns = inputs.shape[2:]
    side = max(1, round(_at(OCCLUSION, severity) * min(rows, columns)))
    generator = torch.Generator().manual_seed(seed)
    top = torch.randint(rows - side + 1, (len(inputs), 1, 1, 1), generator=generator).to(inputs.device)
    left = torch.randint(columns - side + 1, (len(inputs), 1, 1, 1), generator=generator).to(inputs.device)
    row = torch.arange(rows, device=inputs.device).reshape(1, 1, -1, 1)
    column = torch.arange(columns, device=inputs.device).reshape(1, 1, 1, -1)
    hidden = (row >= top) & (row < top + side) & (column >= left) & (column < left + side)
    return torch.where(hidden, inputs.mean(), inputs)


def contrast(inputs: Tensor, severity: int) -> Tensor:
    """Images drawn towards the mean of each."""
    _check_images(inputs)
    mean = inputs.mean(dim=(1, 2, 3), keepdim=True)
    return mean + _at(CONTRAST, severity) * (inputs - mean)


CORRUPTIONS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "gaussian_noise": gaussian_noise, "blur": blur, "occlusion": occlusion, "contrast": contrast,
}  # fmt: skip
IMAGE_CORRUPTIONS = ("blur", "occlusion", "contrast")


def corruptions_of(inputs: Tensor) -> dict[str, Callable[[Tensor, int], Tensor]]:
    """Those that the inputs can have: all for images, noise for others."""
    return {name: made for name, made in CORRUPTIONS.items() if inputs.dim() == 4 or name not in IMAGE_CORRUPTIONS}


def _at(values: tuple[float, ...], severity: int) -> float:
    if severity not in range(1, 6):
        raise AttrGraphError(f"severity is {severity!r}, not a whole number from 1 to 5")
    return values[severity - 1]


def _check_images(inputs: Tensor) -> None:
    if inputs.dim() != 4:
        raise AttrGraphError(
            f"inputs of shape {tuple(inputs.shape)} are no images (samples, channels, rows, columns); "
            "gaussian_noise is for all inputs"
        )
