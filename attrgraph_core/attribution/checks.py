"""What a user hands in, checked before any work: network, inputs, labels, batches.

`admitted` is the entrance of everything that looks into a network, so that all refuse the same by the same words.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode, untouched
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.network_pass import unknown_token
from attrgraph_core.attribution.structure import NetworkStructure
from attrgraph_core.errors import AttrGraphError

DIVERGED = "not finite; its weights may have diverged"


@contextmanager
def admitted(
    model: nn.Module, inputs: Tensor, known: NetworkStructure | None = None
) -> Iterator[tuple[NetworkStructure, Tensor]]:
    """The network laid out, in evaluation mode for as long, and `inputs` on its device; `known` is laid out already.

    Raises AttrGraphError for what is no network or has no values, for inputs that are no finite samples or that the
    network does not take, and for a network that cannot be laid out.
    """
    check_inputs(inputs)
    inputs = inputs.to(device_of(model))
    with evaluation_mode(model):
        if known is None:
            known = structure_of(model, inputs)
        else:
            check_type(model, inputs)
        yield known, inputs


def check_scores(scores: Tensor) -> None:
    """Raise AttrGraphError for scores that are not finite."""
    if not bool(torch.isfinite(scores).all()):
        raise AttrGraphError(f"the network's scores are {DIVERGED}")


def structure_of(model: nn.Module, inputs: Tensor) -> NetworkStructure:
    """The network laid out for `inputs` on its device. Raises AttrGraphError where it does not take such inputs."""
    check_type(model, inputs)
    try:
        return network_structure(model, inputs)
    except (RuntimeError, IndexError, ValueError):
        with untouched(model), torch.no_grad():  # does the network itself refuse such inputs, or do we?
            try:
                model(inputs[:1])
            except Exception as error:
                if isinstance(error, IndexError) and not inputs.is_floating_point():
                    raise unknown_token() from error
                refuse_shape(model, inputs, error)
        raise


def refuse_shape(model: nn.Module, inputs: Tensor, error: Exception) -> NoReturn:
    """Raise AttrGraphError for inputs that the network itself refuses."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise AttrGraphError(
        f"{type(model).__name__} does not take inputs of shape {tuple(inputs.shape)}: {reason}"
    ) from error


def device_of(model: nn.Module) -> torch.device:
    """The device that the network is on. Raises AttrGraphError where it is on several, or has no parameters."""
    if not isinstance(model, nn.Module):
        given = f"the class {model.__name__}; give one of its objects" if isinstance(model, type) else f"{model!r}"
        raise AttrGraphError(f"a network is a torch.nn.Module, not {given}")
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    if not any(True for _ in model.parameters()):
        raise AttrGraphError(f"{type(model).__name__} has no parameters, so it has no neurons to join")
    if len(devices) > 1:
        raise AttrGraphError(
            f"the network is on several devices ({', '.join(sorted(map(str, devices)))}); move it to one"
        )
    device = devices.pop()
    if device.type == "meta":
        raise AttrGraphError("the network is on the device meta, which holds no values; load its weights first")
    return device


def check_type(model: nn.Module, inputs: Tensor) -> None:
    """Raise AttrGraphError where inputs and weights are of different precisions, which no autocast mends."""
    wanted = next(parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
    if inputs.is_floating_point() and inputs.dtype != wanted and not torch.is_autocast_enabled(inputs.device.type):
        raise AttrGraphError(f"the inputs are {inputs.dtype} and the network is {wanted}; give inputs.to({wanted})")


def precision_of(model: nn.Module, device: torch.device) -> torch.dtype:
    """What products are computed in: the precision of autocast where it is on, else that of the weights."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return next(parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())


def check_inputs(inputs: Tensor) -> None:
    """Raise AttrGraphError for inputs that are no tensor of samples with finite values."""
    if not isinstance(inputs, Tensor):
        raise AttrGraphError(f"the inputs are a {type(inputs).__name__}; give a tensor (samples, ...)")
    if not inputs.dim() or not len(inputs):
        raise AttrGraphError("there are no samples to attribute")
    if inputs.device.type == "meta":
        raise AttrGraphError("the inputs are on the device meta, which holds no values")
    if not bool(torch.isfinite(inputs).all()):
        raise AttrGraphError("the inputs hold values that are not finite")


def tensor_of(name: str, values: Any) -> Tensor:
    """Values that may be a list or an array. Raises AttrGraphError for what is no tensor."""
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AttrGraphError(f"{name} of type {type(values).__name__} make no tensor (samples,)") from error


def label_tensor(labels: Any) -> Tensor:
    """Labels as int64; whole numbers of any type, in a list or an array, are taken. Raises AttrGraphError else."""
    tensor = tensor_of("the labels", labels)
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise AttrGraphError(f"labels are whole numbers, not {tensor.dtype}")
    if tensor.dim() == 2 and tensor.shape[1] > 1:
        raise AttrGraphError(
            f"labels are one number a sample, not a row of {tensor.shape[1]}; give labels.argmax(dim=1)"
        )
    return tensor.long()


def batches_of(loader: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches (inputs, labels) of a loader. Raises AttrGraphError for what is none."""
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        raise AttrGraphError(f"the loader is a {type(loader).__name__}; give batches (inputs, labels)")
    for batch in loader:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            size = f" of {len(batch)}" if isinstance(batch, tuple | list | dict) else ""
            raise AttrGraphError(
                f"a batch of the loader is a {type(batch).__name__}{size}; make it (inputs, labels), such as by "
                '((batch["inputs"], batch["labels"]) for batch in loader)'
            )
        check_inputs(batch[0])
        yield batch[0], label_tensor(batch[1])
