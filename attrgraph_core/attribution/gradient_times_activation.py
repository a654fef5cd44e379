"""Gradient times activation: a neuron with output `z` gets `z ∂F/∂z`, an edge `a_i W_ji ∂F/∂z_j`.

Into a neuron its edges sum to `(z_j - b_j) ∂F/∂z_j`; the bias keeps `b_j ∂F/∂z_j`. In a piecewise linear network the
attributions of the input and what biases keep sum to the score; a smooth activation, a normalisation by a sample's own
statistics, attention and products break that, and the completeness delta says by how much. Summed over a batch the
edges are `W ⊙ ∂F/∂W` (design, section 3). Captum: `LayerGradientXActivation` at the layer's output.
"""

import torch

from attrgraph_core.attribution.factors import (
    AttributionMethod,
    Batch,
    Factors,
    absorbed_by_shifts,
    gradient_at,
    gradients_of,
    layer_factors,
)
from attrgraph_core.attribution.network_pass import NetworkPass
from attrgraph_core.attribution.structure import NetworkStructure


class GradientTimesActivation(AttributionMethod):
    name = "gradient_times_activation"
    uses_baseline = False

    def make_pass(self, structure: NetworkStructure) -> NetworkPass:
        """The pass whose derivative is taken; LRP has another."""
        return NetworkPass(structure, keep_shifts=True)

    def factors(self, structure: NetworkStructure, batch: Batch) -> Factors:
        inputs = batch.inputs.detach()
        if not structure.reads_tokens:
            inputs = inputs.clone().requires_grad_()
        network_pass = self.make_pass(structure)
        score = batch.target.score(network_pass.run(inputs))
        recording = network_pass.recording
        gradients = gradients_of(score, inputs, recording)
        with torch.no_grad():
            layers = tuple(layer_factors(record, gradients) for record in recording.layers.values())
            own = None if structure.reads_tokens else inputs.detach() * gradient_at(gradients, inputs)
            absorbed = absorbed_by_shifts(recording, gradients, len(inputs), score)
        return Factors(layers, own, score.detach(), absorbed.detach())
