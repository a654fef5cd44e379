"""The samples of an experiment: any map-style data set, read once into tensors and checked."""

import hashlib
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attrgraph_core.datasets import DATASETS
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.import_path import load_object
from attrgraph_core.training.user_factory import call_factory

SPLIT_SEED = 0  # the same for every seed of an experiment: its runs are tested on the same samples


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training and test samples, on the CPU.

    Inputs are float32 (samples, *input_shape); labels int64 (samples,), from 0 to class_count - 1, each class with at
    least one training sample. `fingerprint` is the SHA-256 of the shapes and bytes of all four tensors.
    """

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    fingerprint: str
    class_count: int
    input_shape: tuple[int, ...]
    name: str


def load_data(factory: str, arguments: Mapping[str, Any] | None = None) -> TrainingData:
    """The data that `factory` makes, called with `arguments`.

    `factory` is a built-in name (one of `DATASETS`) or an import path `package.module:function`. It returns a
    map-style data set (`len` and `[i]`) of items (input, label), of which a fixed, stratified fifth becomes the test
    set, or a tuple of two such sets (train, test). Every item is read exactly once, into memory: augmentation that
    draws anew at each reading is frozen at its first draw, and the whole set must fit.
    Raises AttrGraphError, naming the set and the item, for an empty set, items that are not (input, label), inputs
    that are not finite or differ in shape, and labels that are not whole numbers from 0 without gaps.
    """
    if ":" not in factory and factory not in DATASETS:
        raise AttrGraphError(
            f"unknown dataset {factory!r}; known are {', '.join(DATASETS)} and package.module:function"
        )
    made = call_factory(load_object(DATASETS.get(factory, factory)), factory, arguments or {})
    if isinstance(made, tuple):
        if len(made) != 2:
            raise AttrGraphError(
                f"dataset {factory!r} returned {len(made)} things; return one data set or (train, test)"
            )
        train = _read(made[0], f"training set of {factory!r}")
        test = _read(made[1], f"test set of {factory!r}")
        _check_labels(train[1].tolist(), factory)
    else:
        inputs, labels = _read(made, f"dataset {factory!r}")
        _check_labels(labels.tolist(), factory)
        train_indices, test_indices = stratified_split(labels.numpy())
        if len(test_indices) == 0:
            raise AttrGraphError(
                f"dataset {factory!r} has {len(labels)} samples, too few to split off a test set (a fifth of each "
                "class, so 3 of some class); add samples or return (train, test)"
            )
        train, test = (inputs[train_indices], labels[train_indices]), (inputs[test_indices], labels[test_indices])
    _check_test(train, test, factory)
    return TrainingData(
        *train,
        *test,
        fingerprint=fingerprint(*train, *test),
        class_count=int(train[1].max()) + 1,
        input_shape=tuple(train[0].shape[1:]),
        name=factory,
    )


def with_validation(data: TrainingData) -> TrainingData:
    """The same data with a stratified fifth of the training samples, for validation, in place of the test set.

    What is chosen is chosen on these, always the same samples; the rest trains, and the test set is not there to be
    looked at. Raises AttrGraphError for too few training samples.
    """
    rest, held = stratified_split(data.train_labels.numpy())
    if len(held) == 0:
        raise AttrGraphError(f"{data.name!r} has {len(data.train_labels)} training samples, too few to validate on")
    return with_samples(
        data,
        train=(data.train_inputs[rest], data.train_labels[rest]),
        test=(data.train_inputs[held], data.train_labels[held]),
    )


def with_samples(
    data: TrainingData, *, train: tuple[Tensor, Tensor] | None = None, test: tuple[Tensor, Tensor] | None = None
) -> TrainingData:
    """The data with other training or test samples (inputs, labels), and their fingerprint."""
    train_inputs, train_labels = train or (data.train_inputs, data.train_labels)
    test_inputs, test_labels = test or (data.test_inputs, data.test_labels)
    return replace(
        data,
        train_inputs=train_inputs,
        train_labels=train_labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        fingerprint=fingerprint(train_inputs, train_labels, test_inputs, test_labels),
    )


def stratified_split(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices, sorted, of training and test samples: a fifth of each class, rounded half up, is for the test."""
    generator = np.random.default_rng(SPLIT_SEED)
    test: list[np.ndarray] = []
    for class_id in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == class_id))
        test.append(members[: (2 * len(members) + 5) // 10])
    is_test = np.zeros(len(labels), dtype=bool)
    is_test[np.concatenate(test)] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def fingerprint(*tensors: Tensor) -> str:
    """SHA-256, in hexadecimal, over the shapes and bytes of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(repr((str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(dataset: Any, name: str) -> tuple[Tensor, Tensor]:
    """Inputs float32 (samples, ...) and labels int64 (samples,) of a map-style data set."""
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise AttrGraphError(f"the {name} is a {type(dataset).__name__}, not map-style: it needs len() and [index]")
    if len(dataset) == 0:
        raise AttrGraphError(f"the {name} is empty")
    inputs: list[Tensor] = []
    labels: list[int] = []
    for index in range(len(dataset)):
        where = f"item {index} of the {name}"
        item = _item(dataset, index, where)
        inputs.append(_input(item[0], where))
        labels.append(_label(item[1], where))
        if inputs[-1].shape != inputs[0].shape:
            raise AttrGraphError(
                f"{where} has an input of shape {tuple(inputs[-1].shape)}, where item 0 has {tuple(inputs[0].shape)}"
            )
    return torch.stack(inputs), torch.tensor(labels, dtype=torch.int64)


def _item(dataset: Any, index: int, where: str) -> tuple[Any, Any]:
    try:
        item = dataset[index]
    except Exception as error:
        raise AttrGraphError(f"{where} cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise AttrGraphError(f"{where} is a {type(item).__name__}, not a pair (input, label)")
    return item[0], item[1]


def _input(value: Any, where: str) -> Tensor:
    try:
        # A copy: a data set may hand out the same buffer for every item.
        tensor = value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        tensor = tensor.to(torch.float32, copy=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AttrGraphError(f"{where} has an input that is not an array of numbers: {error}") from error
    if not torch.isfinite(tensor).all():
        raise AttrGraphError(f"{where} has an input with NaN or infinite values (in float32); clean the data")
    if tensor.dim() == 0 or tensor.numel() == 0:
        raise AttrGraphError(f"{where} has an input of shape {tuple(tensor.shape)}; it needs at least one feature")
    return tensor


def _label(value: Any, where: str) -> int:
    try:
        label = operator.index(value)
    except TypeError:
        raise AttrGraphError(f"{where} has the label {value!r}, which is not a whole number") from None
    if label < 0:
        raise AttrGraphError(f"{where} has the label {label}; labels count from 0")
    return label


def _check_labels(labels: list[int], factory: str) -> None:
    present = set(labels)
    largest = max(present)
    if largest == 0:
        raise AttrGraphError(f"dataset {factory!r} has samples of one class only; a network needs two to tell apart")
    if len(present) <= largest:
        missing = next(label for label in range(largest) if label not in present)
        raise AttrGraphError(
            f"no training sample of dataset {factory!r} has label {missing}, though labels go up to {largest}; "
            "number the classes from 0 without gaps"
        )


def _check_test(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], factory: str) -> None:
    if train[0].shape[1:] != test[0].shape[1:]:
        raise AttrGraphError(
            f"dataset {factory!r}: test inputs have shape {tuple(test[0].shape[1:])}, "
            f"training inputs {tuple(train[0].shape[1:])}"
        )
    outside = (test[1] > train[1].max()).nonzero()
    if len(outside):
        index = int(outside[0])
        raise AttrGraphError(
            f"item {index} of the test set of {factory!r} has label {int(test[1][index])}, which no training sample has"
        )
