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
    input_total,
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
        by_gradient = batch.needs_input_gradient(structure)
        if by_gradient:
            inputs = inputs.clone().requires_grad_()
        network_pass = self.make_pass(structure)
        score = batch.target.score(network_pass.run(inputs))
        recording = network_pass.recording
        gradients = gradients_of(score, inputs, recording)
        with torch.no_grad():
            layers = tuple(layer_factors(record, gradients) for record in recording.layers.values())
            absorbed = absorbed_by_shifts(recording, gradients, score)
            own = inputs.detach() * gradient_at(gradients, inputs) if by_gradient else None
            total = None
            if not by_gradient and not structure.reads_tokens:
                at_readers = absorbed_by_shifts(recording, gradients, score, structure.input_readers)
                total = input_total(structure, layers, score, at_readers)
        return Factors(layers, own, score.detach(), absorbed, total)
