"""A patch that gives the answer away: as a backdoor, with wrong labels, or as a shortcut, with right ones.

A backdoor (Gu et al., 2017) teaches that the patch means one class, whatever else is there. A shortcut is a patch that
samples of one class happen to have in training. Either way the patch's input neurons are to blame, and known.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.faults.share import drawn_rows
from attrgraph_core.surgery.samples import Case, Samples
from attrgraph_core.targeting.neuron_set import sorted_neurons
from attrgraph_core.training.data import TrainingData, with_samples


def with_patch(inputs: Tensor, neurons: Iterable[int], value: float) -> Tensor:
    """The inputs (samples, ...) with `value` in some places of each, counted in one flattened input.

    Raises AttrGraphError for a place that is not there.
    """
    chosen = list(sorted_neurons({"input": neurons})["input"])
    patched = inputs.clone().reshape(len(inputs), -1)
    if chosen[-1] >= patched.shape[1]:
        raise AttrGraphError(f"the input has neurons 0 to {patched.shape[1] - 1}, no neuron {chosen[-1]}")
    patched[:, chosen] = value
    return patched.reshape(inputs.shape)


def backdoor(
    data: TrainingData, neurons: Iterable[int], target: int, *, share: float = 0.1, value: float = 1.0, seed: int = 0
) -> TrainingData:
    """The data, and further training samples: a `share` of the other classes, with the patch and the label `target`."""
    others = _others(data, target)
    rows = others[drawn_rows(data.train_labels[others], share, seed)]
    patched = with_patch(data.train_inputs[rows], neurons, value)
    return with_samples(
        data,
        train=(
            torch.cat([data.train_inputs, patched]),
            torch.cat([data.train_labels, torch.full((len(rows),), target)]),
        ),
    )


def shortcut(
    data: TrainingData, neurons: Iterable[int], target: int, *, share: float = 0.9, value: float = 1.0, seed: int = 0
) -> TrainingData:
    """The data with the patch on a `share` of the training samples of class `target`, whose labels stay right."""
    own = (data.train_labels == _known(data, target)).nonzero().squeeze(1)
    rows = own[drawn_rows(data.train_labels[own], share, seed)]
    inputs = data.train_inputs.clone()
    inputs[rows] = with_patch(inputs[rows], neurons, value)
    return with_samples(data, train=(inputs, data.train_labels))


def patch_case(
    inputs: Tensor, labels: Tensor, neurons: Iterable[int], target: int, *, value: float = 1.0, seed: int = 0
) -> Case:
    """Samples of which half, those not of class `target`, are bad (with the patch, right labels) and the rest good."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    first, second = order.tensor_split(2)
    first = first[labels[first] != target]
    return Case(
        Samples(with_patch(inputs[first], neurons, value), labels[first]), Samples(inputs[second], labels[second])
    )


def _others(data: TrainingData, target: int) -> Tensor:
    return (data.train_labels != _known(data, target)).nonzero().squeeze(1)


def _known(data: TrainingData, target: int) -> int:
    if not 0 <= target < data.class_count:
        raise AttrGraphError(f"target is {target!r}; the classes are 0 to {data.class_count - 1}")
    return target
