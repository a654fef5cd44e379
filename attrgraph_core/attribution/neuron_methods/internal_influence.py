"""Internal influence (Leino et al., 2018): the gradient by a neuron, averaged on the way from a baseline to the input.

A sensitivity and not a share: times the way it would be integrated gradients. Captum: `InternalInfluence`.
"""

from captum import attr
from torch import Tensor

from attrgraph_core.attribution.method import Obstacle
from attrgraph_core.attribution.neuron_methods.integrated_gradients import STEPS, check_steps
from attrgraph_core.attribution.neuron_methods.neuron_method import LayerMethod, mean_over
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows
from attrgraph_core.attribution.structure import NetworkStructure


class InternalInfluence(LayerMethod):
    name = "internal_influence"
    uses_baseline = True

    def __init__(self, steps: int = STEPS):
        check_steps(steps)
        self.steps = steps

    def rows_per_sample(self, background_count: int) -> int:
        return self.steps

    def obstacles(self, structure: NetworkStructure) -> list[Obstacle]:
        if structure.reads_tokens:
            return [Obstacle("input", "is tokens, which have no way from a baseline to them", "take conductance")]
        return []

    def at_layer(self, network: TappedNetwork, name: str, inputs: Tensor, baselines: Tensor) -> Tensor:
        captum = attr.InternalInfluence(network, network.tap(name))

        def attribute(baseline: Tensor) -> Tensor:
            found = captum.attribute(inputs, baseline, additional_forward_args=sample_rows(inputs), n_steps=self.steps)
            assert isinstance(found, Tensor)
            return found

        return mean_over(baselines, attribute)
