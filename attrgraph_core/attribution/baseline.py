"""The input, or inputs, that an attribution is relative to."""

from collections.abc import Callable

import torch
from torch import Tensor

from attrgraph_core.errors import AttrGraphError

BASELINES: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros": lambda inputs: torch.zeros_like(inputs[:1]),
    "mean": lambda inputs: inputs.mean(dim=0, keepdim=True),
}


def make_baseline(baseline: str | Tensor | None, inputs: Tensor) -> tuple[str, Tensor]:
    """Name and value of a baseline for `inputs` (samples, ...).

    `zeros` (also for None) or `mean` (of the given inputs), of shape (1, ...); a tensor of one input, called `custom`;
    or a background set (backgrounds, ...), called `background`, over which attributions are averaged: every sample is
    compared with all of it, also where it has a row a sample. Tokens have the baseline of token 0 by `zeros`, and no
    mean. Raises AttrGraphError for another name, shape or value.
    """
    if isinstance(baseline, Tensor):
        value = baseline if baseline.dim() == inputs.dim() else baseline.unsqueeze(0)
        if value.shape[1:] != inputs.shape[1:] or not len(value):
            raise AttrGraphError(
                f"the baseline has shape {tuple(baseline.shape)}; one input has shape {tuple(inputs.shape[1:])}"
            )
        if value.device.type == "meta":
            raise AttrGraphError("the baseline is on the device meta, which holds no values")
        if value.is_floating_point() and not inputs.is_floating_point():
            raise AttrGraphError(f"the inputs are tokens and the baseline is {value.dtype}; give one of tokens")
        if not bool(torch.isfinite(value).all()):
            raise AttrGraphError("the baseline holds values that are not finite")
        return "custom" if len(value) == 1 else "background", value.to(inputs)
    name = "zeros" if baseline is None else baseline
    if not isinstance(name, str) or name not in BASELINES:
        raise AttrGraphError(f"unknown baseline {name!r}; known are {', '.join(BASELINES)}, or a tensor")
    if name == "mean" and not inputs.is_floating_point():
        raise AttrGraphError("tokens have no mean; name a baseline of tokens, such as padding, or zeros")
    return name, BASELINES[name](inputs)
