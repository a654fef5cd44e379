"""Data sets of torchvision, by their class's name, from files that are there already."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

from attrgraph_core.datasets.images import image_tensor
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.optional import optional_module


def torchvision_files(
    name: str, root: str, size: int | None = None, channels: int | None = None, arguments: dict[str, Any] | None = None
) -> tuple[Any, Any]:
    """Training and test set of `torchvision.datasets.<name>`, such as MNIST, FashionMNIST, CIFAR10 or SVHN, in `root`.

    Images have values in [0, 1]; `size` and `channels` are those of `image_tensor`, `arguments` go to the class.
    Raises AttrGraphError where torchvision is not installed (extra `vision`), has no such set, or its files are not in
    `root`.
    """
    known = optional_module("torchvision.datasets", "vision")
    if name not in known.__all__:
        raise AttrGraphError(f"torchvision has no data set {name!r}; it has {', '.join(known.__all__)}")
    made = getattr(known, name)
    taken = inspect.signature(made).parameters
    if "train" in taken:
        parts: list[dict[str, Any]] = [{"train": True}, {"train": False}]
    elif "split" in taken:
        parts = [{"split": "train"}, {"split": "test"}]
    else:
        raise AttrGraphError(f"torchvision's {name} has no training and test set; give it as package.module:function")
    transform = partial(image_tensor, size=size, channels=channels)
    try:
        train, test = (made(root, transform=transform, **part, **(arguments or {})) for part in parts)
    except (RuntimeError, OSError) as error:
        raise AttrGraphError(
            f"torchvision's {name} cannot be read from {Path(root).absolute()}: {error}; nothing is downloaded here, "
            "put its files there"
        ) from error
    return train, test
