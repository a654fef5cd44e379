"""Hugging Face `datasets` on this machine: what `save_to_disk` wrote, or Parquet files."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attrgraph_core.datasets.images import image_tensor
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.optional import optional_module

TRAIN = "train"
TEST_NAMES = ("test", "validation", "valid")


def huggingface(
    path: str,
    inputs: str | list[str] = "image",
    label: str = "label",
    size: int | None = None,
    channels: int | None = None,
) -> Any:
    """Items (input, label) of a data set: training and test set where it has both, else one, which `load_data` splits.

    `path` is a folder of `save_to_disk`, a .parquet file, or a folder with files train*.parquet and, if any,
    test*.parquet. `inputs` names a column of images (made tensors by `size` and `channels` of `image_tensor`) or of
    lists of numbers, or the columns of a table's features.
    Raises AttrGraphError where `datasets` is not installed (extra `huggingface`), for other files, and for a column
    that is not there.
    """
    parts = _parts(Path(path))
    rows = {name: _Rows(part, inputs, label, size, channels) for name, part in parts.items()}
    test = next((rows[name] for name in TEST_NAMES if name in rows), None)
    if TRAIN not in rows:
        raise AttrGraphError(f"{path} has the splits {', '.join(rows)}, and no {TRAIN}")
    return rows[TRAIN] if test is None else (rows[TRAIN], test)


def _parts(path: Path) -> dict[str, Any]:
    """The splits by name; a data set without splits is the training set."""
    datasets = optional_module("datasets", "huggingface")
    files = _parquet_files(path)
    try:
        if files:
            return {split: _read_parquet(datasets, own) for split, own in files.items()}
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise AttrGraphError(
            f"cannot read {path.absolute()} as a data set: {error}; give a folder of save_to_disk or Parquet files"
        ) from error
    return dict(found) if isinstance(found, datasets.DatasetDict) else {TRAIN: found}


def _parquet_files(path: Path) -> dict[str, list[Path]]:
    if path.suffix == ".parquet":
        return {TRAIN: [path]}
    found = {name: sorted(path.glob(f"{name}*.parquet")) for name in (TRAIN, *TEST_NAMES)}
    return {name: files for name, files in found.items() if files}


def _read_parquet(datasets: Any, files: list[Path]) -> Any:
    with TemporaryDirectory() as cache:  # else every file would be copied into the user's cache and stay
        return datasets.Dataset.from_parquet([str(file) for file in files], cache_dir=cache, keep_in_memory=True)


class _Rows:
    """A split as a map-style data set of pairs."""

    def __init__(self, part: Any, inputs: str | list[str], label: str, size: int | None, channels: int | None) -> None:
        self.part, self.inputs, self.label, self.size, self.channels = part, inputs, label, size, channels
        for column in [*([inputs] if isinstance(inputs, str) else inputs), label]:
            if column not in part.column_names:
                raise AttrGraphError(f"there is no column {column!r}; the data have {', '.join(part.column_names)}")

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        row = self.part[index]
        if not isinstance(self.inputs, str):
            return torch.tensor([float(row[column]) for column in self.inputs]), row[self.label]
        value = row[self.inputs]
        if hasattr(value, "convert"):  # an image
            return image_tensor(value, self.size, self.channels), row[self.label]
        return torch.from_numpy(np.asarray(value, dtype=np.float32)), row[self.label]
