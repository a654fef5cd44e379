"""Occlusion (Zeiler & Fergus, 2014): what the score loses when a window of the input takes the baseline's values.

A window covers all channels of an image, all features of a token; an element has the mean over the windows that cover
it. An effect and not a share. Captum: `Occlusion`.
"""

import math

from captum import attr
from torch import Tensor

from attrgraph_core.attribution.neuron_methods.neuron_method import InputMethod, mean_over, refuse_endless
from attrgraph_core.attribution.neuron_methods.perturbed_features import inputs_at_once
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows
from attrgraph_core.errors import AttrGraphError


class Occlusion(InputMethod):
    """Windows of `window` places in every dimension of an image or volume (of a list of features or tokens: one place),
    moved by `stride`."""

    name = "occlusion"
    uses_baseline = True
    reads_tokens = True

    def __init__(self, window: int = 3, stride: int = 1):
        if not 1 <= stride <= window:
            raise AttrGraphError(f"windows of {window} moved by {stride} leave gaps; stride is from 1 to the window")
        self.window, self.stride = window, stride

    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        shape, step = self._windows(inputs)
        count = math.prod(
            1 + math.ceil((size - width) / by)
            for size, width, by in zip(inputs.shape[1:], shape, step, strict=True)
        )  # fmt: skip
        refuse_endless(
            self.name, len(inputs) * len(baselines) * count, "give fewer samples, or Occlusion(window=, stride=) larger"
        )
        captum = attr.Occlusion(network)

        def attribute(baseline: Tensor) -> Tensor:
            return captum.attribute(
                inputs.detach(), shape, step, baseline, additional_forward_args=sample_rows(inputs),
                perturbations_per_eval=inputs_at_once(inputs),
            )  # fmt: skip

        return mean_over(baselines, attribute)

    def _windows(self, inputs: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape of the window and its steps, by the dimensions of a sample."""
        sizes = tuple(inputs.shape[1:])
        if len(sizes) < 2:
            return (1,) * len(sizes), (1,) * len(sizes)
        if len(sizes) == 2:  # tokens and their features
            return (1, sizes[1]), (1, 1)
        shape = (sizes[0], *(min(self.window, size) for size in sizes[1:]))
        return shape, (1, *(min(self.stride, width) for width in shape[1:]))
