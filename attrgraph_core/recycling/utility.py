"""How much a neuron does, as running means collected while a network trains, at no extra pass.

Read where later layers read it: `a` is a neuron's output there, after its activation and pooling, `g` the derivative of
the loss by it, both of each sample (positions of a channel are summed), added up over the layers that read it. In order
of least use first, the lowest is renewed:

| utility | a running mean of | source |
|---|---|---|
| influence | `Σ_samples abs(a g)` | the attribution graph's gradient x activation, absolute |
| contribution | `abs(a)`, times the present sum of outgoing `abs(w)` | continual backprop, Dohare et al., 2024 |
| dormancy | `abs(a)` over the layer's mean of it | ReDo, Sokar et al., 2023 |
| random | nothing | the control |

Dohare et al. take the running mean of the whole product. ReDo renews all neurons below a threshold; here the same score
only says which of the layer are the least.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

_OF_NEURONS = ("activation", "size", "influence", "passes", "gradient_passes", "silent_passes")
UTILITIES = ("influence", "contribution", "dormancy", "random")


@dataclass(eq=False)
class RunningUse:
    """Running means of a layer's neurons as one layer reads them, (neurons,) each; `decay` is kept at each pass.

    Each neuron has its own count of passes, so that a renewed one starts anew without the bias of a mean from 0.
    """

    width: int
    decay: float
    device: torch.device
    activation: Tensor = field(init=False)  # mean of a
    size: Tensor = field(init=False)  # mean of |a|
    influence: Tensor = field(init=False)  # mean of Σ |a g|
    passes: Tensor = field(init=False)
    gradient_passes: Tensor = field(init=False)
    silent_passes: Tensor = field(init=False)  # since the last that was not all 0

    def __post_init__(self) -> None:
        for name in _OF_NEURONS:
            setattr(self, name, torch.zeros(self.width, device=self.device))

    def add_activations(self, mean: Tensor, size: Tensor) -> None:
        """Take in a pass: means of a and |a| over samples and positions, (neurons,)."""
        self.passes += 1
        self.activation.lerp_(mean.float(), 1 - self.decay)
        self.size.lerp_(size.float(), 1 - self.decay)
        self.silent_passes = torch.where(size == 0, self.silent_passes + 1, 0.0)

    def add_influence(self, influence: Tensor) -> None:
        """Take in a backward pass: Σ over samples of |a g|, (neurons,)."""
        self.gradient_passes += 1
        self.influence.lerp_(influence.float(), 1 - self.decay)

    def mean_activation(self) -> Tensor:
        return _unbiased(self.activation, self.passes, self.decay)

    def mean_size(self) -> Tensor:
        return _unbiased(self.size, self.passes, self.decay)

    def mean_influence(self) -> Tensor:
        return _unbiased(self.influence, self.gradient_passes, self.decay)

    def is_silent(self, passes: int) -> Tensor:
        """Whether each neuron gave nothing but 0 in the last `passes` (or all, of fewer, if any), (neurons,)."""
        return (self.passes > 0) & (self.silent_passes >= self.passes.clamp_max(passes))

    def forget(self, neurons: Tensor) -> None:
        """Begin anew for some neurons."""
        for name in _OF_NEURONS:
            getattr(self, name)[neurons] = 0.0


def _unbiased(mean: Tensor, count: Tensor, decay: float) -> Tensor:
    return mean / (1 - decay**count).clamp_min(1 - decay)
