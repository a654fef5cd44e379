"""Feature ablation: what the score loses when one input neuron alone takes the baseline's value.

An effect and not a share: in a network that is not linear it does not add up. Hidden neurons and edges are ablated by
`ablation`. Captum: `FeatureAblation`.
"""

from captum import attr
from torch import Tensor

from attrgraph_core.attribution.neuron_methods.neuron_method import InputMethod, mean_over, refuse_endless
from attrgraph_core.attribution.neuron_methods.perturbed_features import features_of, inputs_at_once
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows


class FeatureAblation(InputMethod):
    name = "feature_ablation"
    uses_baseline = True
    reads_tokens = True

    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        width = network.structure.input_map.width
        refuse_endless(
            self.name, len(inputs) * len(baselines) * width, "give fewer samples, or take occlusion by windows"
        )
        captum = attr.FeatureAblation(network)

        def attribute(baseline: Tensor) -> Tensor:
            return captum.attribute(
                inputs.detach(), baseline, additional_forward_args=sample_rows(inputs),
                feature_mask=features_of(network.structure, inputs), perturbations_per_eval=inputs_at_once(inputs),
            )  # fmt: skip

        return mean_over(baselines, attribute)
