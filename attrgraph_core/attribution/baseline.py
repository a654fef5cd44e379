"""The input an attribution is relative to."""

from collections.abc import Callable

import torch
from torch import Tensor

from attrgraph_core.errors import AttrGraphError

BASELINES: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros": lambda inputs: torch.zeros_like(inputs[:1]),
    "mean": lambda inputs: inputs.mean(dim=0, keepdim=True),
}


def make_baseline(baseline: str | Tensor | None, inputs: Tensor) -> tuple[str, Tensor]:
    """Name and value, shape (1, ...), of a baseline for `inputs` (samples, ...).

    `zeros` (also for None), `mean` (of the given inputs), or a tensor of one input, called `custom`.
    """
    if isinstance(baseline, Tensor):
        value = baseline if baseline.dim() == inputs.dim() else baseline.unsqueeze(0)
        if value.shape != inputs[:1].shape:
            raise AttrGraphError(
                f"the baseline has shape {tuple(baseline.shape)}; one input has shape {tuple(inputs.shape[1:])}"
            )
        return "custom", value.to(inputs)
    name = baseline or "zeros"
    if name not in BASELINES:
        raise AttrGraphError(f"unknown baseline {name!r}; known are {', '.join(BASELINES)}, or a tensor")
    return name, BASELINES[name](inputs)
