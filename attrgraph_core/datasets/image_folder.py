"""Images in a folder a class, as torchvision's `ImageFolder` has them."""

from functools import partial
from pathlib import Path
from typing import Any

from attrgraph_core.datasets.images import image_tensor
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.optional import optional_module

TEST_NAMES = ("test", "val", "validation")


def image_folder(root: str, size: int, channels: int = 3) -> Any:
    """Items (image (channels, size, size) in [0, 1], class), classes in the order of their folders' names.

    `root` has the folders `train` and `test` (or `val`) with a folder a class in both, or the folders of the classes
    themselves, which `load_data` splits. Raises AttrGraphError where torchvision is not installed (extra `vision`), for
    a folder without images, and where the two parts have not the same classes.
    """
    folder = Path(root)
    if not (folder / "train").is_dir():
        return _folder(folder, size, channels)
    test = next((folder / name for name in TEST_NAMES if (folder / name).is_dir()), None)
    if test is None:
        raise AttrGraphError(f"{folder.absolute()} has a folder train, and none of {', '.join(TEST_NAMES)} beside it")
    parts = _folder(folder / "train", size, channels), _folder(test, size, channels)
    if parts[0].classes != parts[1].classes:
        train_classes, test_classes = (", ".join(part.classes) for part in parts)
        raise AttrGraphError(f"{folder / 'train'} has the classes {train_classes}, {test} has {test_classes}")
    return parts


def _folder(folder: Path, size: int, channels: int) -> Any:
    made = optional_module("torchvision.datasets", "vision").ImageFolder
    try:
        return made(str(folder), transform=partial(image_tensor, size=size, channels=channels))
    except OSError as error:
        raise AttrGraphError(f"no images in a folder a class in {folder.absolute()}: {error}") from error
