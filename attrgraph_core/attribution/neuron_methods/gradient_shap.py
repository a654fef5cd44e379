"""GradientSHAP (Lundberg & Lee, 2017): gradients at random points between the input and random backgrounds.

`(x_i - x'_i) ∂F/∂x_i`, averaged over draws of a background x', of a point on the way, and of noise on the input. In
expectation, without noise, it adds up to the score less the background's mean; `expected_gradients` computes that
expectation by quadrature. Captum: `GradientShap`.
"""

from captum import attr
from torch import Tensor

from attrgraph_core.attribution.evaluation import seeded
from attrgraph_core.attribution.neuron_methods.neuron_method import InputMethod
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows
from attrgraph_core.errors import AttrGraphError


class GradientShap(InputMethod):
    """`draws` points a sample, the input moved by noise of standard deviation `noise`."""

    name = "gradient_shap"
    uses_baseline = True
    fewest_baselines = 2

    def __init__(self, draws: int = 50, noise: float = 0.0, seed: int = 0):
        if draws < 1 or not noise >= 0:
            raise AttrGraphError(f"GradientSHAP takes 1 draw or more and noise from 0 on, not {draws} and {noise}")
        self.draws, self.noise, self.seed = draws, noise, seed

    def rows_per_sample(self, background_count: int) -> int:
        return self.draws

    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        with seeded(self.seed):
            return attr.GradientShap(network).attribute(
                inputs, baselines, n_samples=self.draws, stdevs=self.noise, additional_forward_args=sample_rows(inputs)
            )
