"""Integrated gradients of every layer: on the straight way between a layer's outputs for the baseline and the input.

`(z_j - z'_j) ∫ ∂F/∂z_j` with the layer's output on the way and all else as it is for the input, so a layer's neurons
sum to the score less what it is with the layer's output of the baseline: the whole difference where all paths cross
the layer. Conductance follows the way of the input instead, and has edges. Captum: `LayerIntegratedGradients`.
"""

from captum import attr
from torch import Tensor

from attrgraph_core.attribution.method import Obstacle
from attrgraph_core.attribution.neuron_methods.integrated_gradients import STEPS, check_steps
from attrgraph_core.attribution.neuron_methods.neuron_method import LayerMethod, mean_over
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows
from attrgraph_core.attribution.structure import NetworkStructure
from attrgraph_core.attribution.tracing import operation_name


class LayerIntegratedGradients(LayerMethod):
    name = "layer_integrated_gradients"
    uses_baseline = True
    largest_gap = 0.1
    when_incomplete = "more steps make the error smaller: method=LayerIntegratedGradients(steps=200)"

    def __init__(self, steps: int = STEPS):
        check_steps(steps)
        self.steps = steps

    def rows_per_sample(self, background_count: int) -> int:
        return self.steps

    def obstacles(self, structure: NetworkStructure) -> list[Obstacle]:
        return super().obstacles(structure) + [
            Obstacle(
                operation_name(node, structure.traced), "is a mask made of tokens, and other ones for the baseline",
                "take conductance or deeplift, which hold it at what it is for the input",
            )
            for node in structure.has("context")[:1]
        ]  # fmt: skip

    def omissions(self, structure: NetworkStructure) -> list[Obstacle]:
        return [
            Obstacle(
                layer.name, "does not sum to the score's difference: a path passes it by",
                "sum the layers of all branches, or take conductance",
            )
            for layer in structure.layers
            if not structure.lies_on_all_paths(layer)
        ]  # fmt: skip

    def at_layer(self, network: TappedNetwork, name: str, inputs: Tensor, baselines: Tensor) -> Tensor:
        captum = attr.LayerIntegratedGradients(network, network.tap(name))

        def attribute(baseline: Tensor) -> Tensor:
            found = captum.attribute(
                inputs, baseline.expand_as(inputs), additional_forward_args=sample_rows(inputs), n_steps=self.steps
            )
            assert isinstance(found, Tensor)
            return found

        return mean_over(baselines, attribute)
