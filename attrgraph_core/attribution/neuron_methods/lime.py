"""LIME (Ribeiro et al., 2016): weights of a sparse linear model of the score around a sample.

Features are on (the sample's) or off (the baseline's) at random; draws that are like the sample, by the cosine, count
more; the model is a lasso. Adds up to nothing. A sample at a time, so for few samples and small inputs. Captum: `Lime`.
"""

from captum import attr
from captum._utils.models.linear_model import SkLearnLasso
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
from attrgraph_core.errors import AttrGraphError


class Lime(InputMethod):
    """`draws` a sample, by default twice the features and 512 more; `alpha` is the lasso's penalty."""

    name = "lime"
    uses_baseline = True

    def __init__(self, draws: int | None = None, alpha: float = 0.01, seed: int = 0):
        check_draws(draws)
        if not alpha > 0:
            raise AttrGraphError(f"the penalty of LIME's lasso is above 0, not {alpha}")
        self.draws, self.alpha, self.seed = draws, alpha, seed

    def obstacles(self, structure: NetworkStructure) -> list[Obstacle]:
        return super().obstacles(structure) + unfit_for_regression(structure)

    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        draws = draws_for(network.structure, self.draws)
        refuse_endless(
            self.name, len(inputs) * len(baselines) * draws, "give fewer samples, or Lime(draws=) a smaller number"
        )
        captum = attr.Lime(network, interpretable_model=SkLearnLasso(alpha=self.alpha))
        with seeded(self.seed):
            return regressed(captum, network.structure, inputs, baselines, draws)
