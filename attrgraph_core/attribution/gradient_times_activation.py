"""Gradient times activation: a neuron with output `z` gets `z ∂F/∂z`, an edge `a_i W_ji ∂F/∂z_j`.

Into a neuron its edges sum to `(z_j - b_j) ∂F/∂z_j`; the bias keeps `b_j ∂F/∂z_j`. In a piecewise linear network a
layer's attributions and the biases above it sum to the score, which is what the gaps measure. Summed over a batch the
edges are `W ⊙ ∂F/∂W` (design, section 3). Captum: `LayerGradientXActivation` at the layer's output.
"""

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.factors import (
    AttributionMethod,
    Factors,
    LayerFactors,
    RecordingInterpreter,
    backward_factors,
    gather_scores,
    per_sample,
)
from attrgraph_core.attribution.structure import NetworkStructure


class GradientTimesActivation(AttributionMethod):
    name = "gradient_times_activation"
    uses_baseline = False

    def factors(self, structure: NetworkStructure, inputs: Tensor, targets: Tensor, baseline: Tensor) -> Factors:
        inputs = inputs.detach().clone().requires_grad_()
        interpreter = RecordingInterpreter(structure)
        score = gather_scores(interpreter.run(inputs), targets)
        recording = interpreter.recording
        affine = [output for _, output in recording.affine_outputs]
        input_gradient, gradients, affine_gradients = backward_factors(score, inputs, recording, affine)
        with torch.no_grad():
            layers = {
                name: LayerFactors(recording.layer_inputs[name].detach(), gradient, output.detach())
                for (name, output), gradient in zip(recording.layer_outputs.items(), gradients.values(), strict=True)
            }
            shifts = [
                (output is recording.layer_outputs.get(_name_of(structure, module)), _shift(module, output, gradient))
                for (module, output), gradient in zip(recording.affine_outputs, affine_gradients, strict=True)
            ]
            attributions = [per_sample(inputs * input_gradient)]
            attributions += [per_sample(factors.output * factors.target) for factors in layers.values()]
            gaps = _gaps(attributions, shifts, score)
            return Factors(layers, (inputs * input_gradient).detach(), gaps, score.detach())


def _name_of(structure: NetworkStructure, module: nn.Module) -> str:
    return next((layer.name for layer in structure.layers if layer.module is module), "")


def _shift(module: nn.Module, output: Tensor, gradient: Tensor) -> Tensor:
    """What the constant term of an affine operation adds to the score, shape (samples,)."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        assert module.running_mean is not None
        constant = module(torch.zeros_like(output))
    else:
        bias = module.bias
        if bias is None:
            return torch.zeros(output.shape[0], dtype=output.dtype, device=output.device)
        constant = bias.reshape(-1, *[1] * (output.dim() - 2)) if isinstance(module, nn.Conv2d) else bias  # type: ignore[operator]
    return per_sample(constant * gradient)


def _gaps(attributions: list[Tensor], shifts: list[tuple[bool, Tensor]], score: Tensor) -> Tensor:
    """Gap of each layer: the score less its attributions and less all constants added above it."""
    above = sum((shift for _, shift in shifts), torch.zeros_like(score))
    gaps = [score - attributions[0] - above]
    following = iter(attributions[1:])
    for is_layer, shift in shifts:
        above = above - shift
        if is_layer:  # a layer's own bias is inside its output already
            gaps.append(score - next(following) - above)
    return torch.stack(gaps)
