"""KernelSHAP (Lundberg & Lee, 2017): Shapley values of the input's features by a regression on coalitions.

A coalition takes some features of the sample and the rest of the baseline. The values add up to the score less the
baseline's by construction. A sample at a time, so for few samples and small inputs. Captum: `KernelShap`.
"""

import torch
from captum import attr
from torch import Tensor

from attrgraph_core.attribution.evaluation import seeded
from attrgraph_core.attribution.method import Obstacle
from attrgraph_core.attribution.neuron_methods.neuron_method import (
    ROWS_AT_ONCE,
    InputMethod,
    mean_over,
    refuse_endless,
)
from attrgraph_core.attribution.neuron_methods.perturbed_features import (
    check_draws,
    draws_for,
    features_of,
    unfit_for_regression,
)
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows
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

        features = features_of(network.structure, inputs)

        def attribute(baseline: Tensor) -> Tensor:
            each = [
                captum.attribute(
                    sample, baseline, additional_forward_args=(row,), feature_mask=features, n_samples=draws,
                    perturbations_per_eval=min(draws, ROWS_AT_ONCE),
                )
                for sample, row in zip(inputs.detach().split(1), sample_rows(inputs)[0].split(1), strict=True)
            ]  # fmt: skip
            return torch.cat(each)

        with seeded(self.seed):
            return mean_over(baselines, attribute)
