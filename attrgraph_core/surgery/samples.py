"""Samples that fail and samples that must go on working, and their parts to find, to validate and to test by."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attrgraph_core.errors import AttrGraphError

SHARES = (0.4, 0.3)  # to find edges and fine-tune by, to choose doses and rates by; the rest is for the test
FEWEST = 10


class Samples(NamedTuple):
    """Inputs float32 (samples, ...) and labels int64 (samples,), the right ones."""

    inputs: Tensor
    labels: Tensor

    def at(self, rows: Tensor) -> "Samples":
        return Samples(self.inputs[rows], self.labels[rows])

    def and_(self, other: "Samples") -> "Samples":
        """Both, one after the other."""
        return Samples(torch.cat([self.inputs, other.inputs]), torch.cat([self.labels, other.labels]))


class Case(NamedTuple):
    """A fault: samples on which it shows, and good ones, which must not suffer from its repair."""

    bad: Samples
    good: Samples

    def split(self, seed: int = 0) -> tuple["Case", "Case", "Case"]:
        """Parts to find by, to choose by, and for the test: disjoint, by `seed` alone.

        Raises AttrGraphError for fewer than ten bad or good samples.
        """
        parts = []
        for what, samples in (("bad", self.bad), ("good", self.good)):
            count = len(samples.labels)
            if count < FEWEST:
                raise AttrGraphError(f"there are {count} {what} samples; {FEWEST} or more can be split in three parts")
            order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
            first, second = (round(share * count) for share in SHARES)
            parts.append([samples.at(rows) for rows in order.split([first, second, count - first - second])])
        find, choose, test = (Case(bad, good) for bad, good in zip(*parts, strict=True))
        return find, choose, test


def load_samples(path: Path, input_shape: tuple[int, ...], class_count: int | None = None) -> Samples:
    """The arrays `inputs` (samples, ...) and `labels` (samples,) of a .npz file.

    Raises AttrGraphError for a file that is missing, of another format, or of another shape than the network's inputs,
    and names the first sample whose label is no class or whose input is not finite.
    """
    inputs, labels = _arrays(path)
    if inputs.shape[1:] != input_shape or labels.shape != inputs.shape[:1]:
        raise AttrGraphError(
            f"{path} has inputs {inputs.shape} and labels {labels.shape}; the run's network takes (samples, "
            f"{', '.join(map(str, input_shape))}) and a label a sample"
        )
    if labels.dtype.kind not in "iu" or inputs.dtype.kind not in "fiub":
        raise AttrGraphError(
            f"{path} has inputs of type {inputs.dtype} and labels of type {labels.dtype}; it needs numbers, and labels "
            "that are whole numbers"
        )
    _refuse_first(path, "an input that is not finite", ~np.isfinite(inputs).reshape(len(inputs), -1).all(axis=1))
    if class_count is not None:
        outside = (labels < 0) | (labels >= class_count)
        _refuse_first(path, f"a label that is not of the {class_count} classes, from 0", outside, labels)
    return Samples(torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(labels.astype(np.int64)))


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise AttrGraphError(f"there is no file {path}; samples are a .npz with arrays inputs and labels")
    if not zipfile.is_zipfile(path):
        raise AttrGraphError(f"{path} is not a .npz; numpy.savez(file, inputs=..., labels=...) writes one")
    try:
        with np.load(path) as file:
            missing = [name for name in ("inputs", "labels") if name not in file]
            if missing:
                raise AttrGraphError(f"{path} has no array {missing[0]!r}; it has {', '.join(file.files) or 'none'}")
            return file["inputs"], file["labels"]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise AttrGraphError(f"cannot read {path} as .npz: {error}") from error


def _refuse_first(path: Path, what: str, wrong: np.ndarray, values: np.ndarray | None = None) -> None:
    if wrong.any():
        first = int(wrong.argmax())
        value = "" if values is None else f", {values[first]}"
        raise AttrGraphError(f"{path} has {what}: sample {first}{value} ({int(wrong.sum())} of {len(wrong)} samples)")
