"""Sensors that fail: input neurons that read nothing, always the same, or noise."""

from collections.abc import Iterable

import torch
from torch import Tensor

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.faults.backdoor import with_patch

FAULTS = ("dead", "stuck", "noisy")


def sensor_fault(
    inputs: Tensor, neurons: Iterable[int], kind: str, *, value: float = 1.0, deviation: float = 1.0, seed: int = 0
) -> Tensor:
    """Inputs (samples, ...) as broken sensors give them; `neurons` are places in one flattened input.

    `dead` ones read 0, `stuck` ones `value`, and to `noisy` ones Gaussian noise of `deviation` is added.
    Raises AttrGraphError for another kind and for a place that is not there.
    """
    if kind not in FAULTS:
        raise AttrGraphError(f"unknown fault {kind!r} of sensors; known are {', '.join(FAULTS)}")
    neurons = list(neurons)
    if kind != "noisy":
        return with_patch(inputs, neurons, 0.0 if kind == "dead" else value)
    marked = with_patch(torch.zeros_like(inputs[:1]), neurons, 1.0)
    noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(seed)).to(inputs)
    return inputs + deviation * noise * marked
