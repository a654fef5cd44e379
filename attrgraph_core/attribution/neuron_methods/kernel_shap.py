"""KernelSHAP (Lundberg & Lee, 2017): Shapley values of the input's features by a regression on coalitions.

A coalition takes some features of the sample and the rest of the baseline. The values add up to the score less the
baseline's by construction. A sample at a time, so for few samples and small inputs. Captum: `KernelShap`.
"""

from captum import attr
from torch import Tensor

from attrgraph_core.attribution.evaluation import seeded
from attrgraph_core.attribution.method import Obstacle
from attrgraph_core.attribution.neuron_methods.neuron_method import (
    InputMethod,
    refuse_endless,
)
from attrgraph_core.attribution.neuron_methods.perturbed_features import (
    check_draws,
    draws_for,
    regressed,
    unfit_for_regression,
)
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork
from attrgraph_core.attribution.structure import NetworkStructure


class KernelShap(InputMethod):
    """`draws` coalitions a sample; by default twice the features, and 512 more."""

    name = "kernel_shap"
    uses_baseline = True
    reads_tokens = True

    def __init__(self, draws: int | None = None, seed: int = 0):
        check_draws(draws)
        self.draws, self.seed = draws, seed

    def obstacles(self, structure: NetworkStructure) -> list[Obstacle]:
        return super().obstacles(structure) + unfit_for_regression(structure)

    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        draws = draws_for(network.structure, self.draws)
        refuse_endless(
            self.name,
            len(inputs) * len(baselines) * draws,
            "give fewer samples, or KernelShap(draws=) fewer",
        )
        captum = attr.KernelShap(network)
        with seeded(self.seed):
            return regressed(captum, network.structure, inputs, baselines, draws)
