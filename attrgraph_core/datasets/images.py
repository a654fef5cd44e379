"""An image of a file becomes a tensor."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from attrgraph_core.errors import AttrGraphError


def image_tensor(image: Any, size: int | None = None, channels: int | None = None) -> Tensor:
    """A PIL image as float32 (channels, rows, columns) in [0, 1].

    `size` makes it a square of so many pixels; `channels` is 1 (grey), 3 (colours) or what the image has, of the two.
    """
    if channels is None:
        channels = 1 if image.mode in ("1", "L", "I", "F", "I;16") else 3
    if channels not in (1, 3):
        raise AttrGraphError(f"channels is {channels!r}; images have 1 (grey) or 3 (colours)")
    image = image.convert("L" if channels == 1 else "RGB")
    if size is not None:
        image = image.resize((size, size))
    pixels = np.asarray(image, dtype=np.float32) / 255.0
    return torch.from_numpy(pixels.reshape(image.height, image.width, channels)).permute(2, 0, 1).contiguous()
