"""What methods that perturb the input have in common: one feature a neuron, and a limit to what is run."""

import torch
from captum.attr import Lime
from torch import Tensor

from attrgraph_core.attribution.method import Obstacle
from attrgraph_core.attribution.neuron_methods.neuron_method import ROWS_AT_ONCE, mean_over
from attrgraph_core.attribution.neuron_methods.tapped_network import sample_rows
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


def unfit_for_regression(structure: NetworkStructure) -> list[Obstacle]:
    """Why no regression on the input's neurons is made for every sample."""
    width = structure.input_map.width
    if width > MOST_FEATURES:
        return [
            Obstacle(
                "input", f"has {width} features, and a regression on them is made for every sample ({MOST_FEATURES} at "
                "most)", "take gradient_shap, or occlusion by windows",
            )
        ]  # fmt: skip
    return [Obstacle("input", "has one feature, so no coalitions", "take feature_ablation")] if width < 2 else []


def draws_for(structure: NetworkStructure, draws: int | None) -> int:
    """How many coalitions are drawn a sample: the given number, or twice the features and more."""
    return DRAWS_A_FEATURE * structure.input_map.width + FEWEST_DRAWS if draws is None else draws


def check_draws(draws: int | None) -> None:
    if draws is not None and draws < 2:
        raise AttrGraphError(f"a regression needs 2 draws or more, not {draws}")


def regressed(captum: Lime, structure: NetworkStructure, inputs: Tensor, baselines: Tensor, draws: int) -> Tensor:
    """Coefficients of a regression a sample, (samples, *input), as the mean over the baselines."""
    features = features_of(structure, inputs)

    def attribute(baseline: Tensor) -> Tensor:
        each = [
            captum.attribute(
                sample, baseline, additional_forward_args=(row,), feature_mask=features, n_samples=draws,
                perturbations_per_eval=min(draws, ROWS_AT_ONCE),
            )
            for sample, row in zip(inputs.detach().split(1), sample_rows(inputs)[0].split(1), strict=True)
        ]  # fmt: skip
        return torch.cat(each)

    return mean_over(baselines, attribute)
