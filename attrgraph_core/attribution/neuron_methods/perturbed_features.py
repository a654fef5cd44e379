"""What methods that perturb the input have in common: one feature a neuron, and a limit to what is run."""

from torch import Tensor

from attrgraph_core.attribution.neuron_methods.neuron_method import ROWS_AT_ONCE
from attrgraph_core.attribution.structure import NetworkStructure
from attrgraph_core.errors import AttrGraphError

MOST_FEATURES = 1024  # of a regression
DRAWS_A_FEATURE, FEWEST_DRAWS = 2, 512


def features_of(structure: NetworkStructure, inputs: Tensor) -> Tensor:
    """The number of the feature that each element is, (1, *input)."""
    return structure.input_map.index.reshape(1, *inputs.shape[1:]).to(inputs.device)


def inputs_at_once(inputs: Tensor) -> int:
    """How many perturbations of a batch go through the network together."""
    return max(1, ROWS_AT_ONCE // len(inputs))


def draws_for(name: str, width: int, draws: int | None) -> int:
    """How many coalitions of `width` features are drawn a sample: the given number, or twice the features and more."""
    if width > MOST_FEATURES:
        raise AttrGraphError(
            f"{name} fits a regression on {width} features for every sample; it takes {MOST_FEATURES} at most. Take "
            "gradient_shap, or occlusion by windows"
        )
    if width < 2:
        raise AttrGraphError(f"{name} compares features and the input has one; take feature_ablation")
    return DRAWS_A_FEATURE * width + FEWEST_DRAWS if draws is None else draws


def check_draws(draws: int | None) -> None:
    if draws is not None and draws < 2:
        raise AttrGraphError(f"a regression needs 2 draws or more, not {draws}")
