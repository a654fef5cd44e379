"""Integrated gradients (Sundararajan et al., 2017): `(x_i - x'_i) ∫ ∂F/∂x_i` on the straight way from a baseline.

The points are those of Gauss and Legendre, exact for polynomials; what is left at the kinks of ReLU networks falls with
more steps. Captum: `IntegratedGradients`.
"""

from captum import attr
from torch import Tensor

from attrgraph_core.attribution.neuron_methods.neuron_method import InputMethod, mean_over
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows
from attrgraph_core.errors import AttrGraphError

STEPS = 50


class IntegratedGradients(InputMethod):
    name = "integrated_gradients"
    uses_baseline = True
    largest_gap = 0.1  # the rule's error at the kinks of ReLU networks
    when_incomplete = "more steps make the error smaller: method=IntegratedGradients(steps=200)"

    def __init__(self, steps: int = STEPS):
        check_steps(steps)
        self.steps = steps

    def rows_per_sample(self, background_count: int) -> int:
        return self.steps

    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        captum = attr.IntegratedGradients(network)
        return mean_over(
            baselines,
            lambda baseline: captum.attribute(
                inputs, baseline, additional_forward_args=sample_rows(inputs), n_steps=self.steps
            ),
        )


def check_steps(steps: int) -> None:
    if steps < 1:
        raise AttrGraphError(f"the way from the baseline needs at least 1 step, not {steps}")
