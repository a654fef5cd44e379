"""DeepLIFT with the rescale rule (Shrikumar et al., 2017): differences from a baseline, shared by multipliers.

A non-linearity `y = f(z)` passes the multiplier `(y - y') / (z - z')` in the place of a derivative, and the derivative
where the difference vanishes. Each layer's contributions `Δz m` then sum to `F(x) - F(x')` exactly, without a bias
term. Max pooling follows Captum: the rise of the output is credited to the winner of the input, its fall to the winner
of the baseline (here added up where windows overlap, which Captum's unpooling overwrites).

The baseline is one input, so its pass costs one row; Captum's hooks run every input twice.
"""

from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from attrgraph_core.attribution.factors import (
    AttributionMethod,
    Factors,
    LayerFactors,
    RecordingInterpreter,
    backward_factors,
    gather_scores,
    per_sample,
)
from attrgraph_core.attribution.structure import NetworkStructure, is_elementwise, is_max_pool, operation_of

SMALLEST_DIFFERENCE = 1e-10  # Captum's; below it the multiplier is the derivative


class DeepLift(AttributionMethod):
    name = "deeplift"
    uses_baseline = True

    def factors(self, structure: NetworkStructure, inputs: Tensor, targets: Tensor, baseline: Tensor) -> Factors:
        reference = _BaselineInterpreter(structure)
        with torch.no_grad():
            baseline_logits = reference.run(baseline)
        inputs = inputs.detach().clone().requires_grad_()
        interpreter = _RescaleInterpreter(structure, reference.operation_inputs)
        logits = interpreter.run(inputs)
        recording = interpreter.recording
        score = gather_scores(logits, targets)
        input_multiplier, multipliers, _ = backward_factors(score, inputs, recording)
        with torch.no_grad():
            layers = {
                name: LayerFactors(
                    recording.layer_inputs[name] - reference.recording.layer_inputs[name],
                    multiplier,
                    recording.layer_outputs[name] - reference.recording.layer_outputs[name],
                )
                for name, multiplier in multipliers.items()
            }
            explained = score - gather_scores(baseline_logits.expand_as(logits), targets)
            input_attribution = (inputs - baseline) * input_multiplier
            shares = [per_sample(input_attribution)]
            shares += [per_sample(factors.output * factors.target) for factors in layers.values()]
            gaps = explained - torch.stack(shares)
            return Factors(layers, input_attribution.detach(), gaps.detach(), explained.detach())


class _BaselineInterpreter(RecordingInterpreter):
    """Runs the baseline and keeps what each non-linearity read."""

    def __init__(self, structure: NetworkStructure):
        super().__init__(structure)
        self.operation_inputs: dict[fx.Node, Tensor] = {}

    def pass_operation(self, node: fx.Node, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        operation = operation_of(node, self.module)  # type: ignore[arg-type]
        if is_elementwise(operation) or is_max_pool(operation):
            self.operation_inputs[node] = arguments[0].clone()
        return super().pass_operation(node, arguments, keywords)


class _RescaleInterpreter(RecordingInterpreter):
    """Runs the inputs; the derivative of every non-linearity is its multiplier relative to the baseline."""

    def __init__(self, structure: NetworkStructure, baseline_inputs: dict[fx.Node, Tensor]):
        super().__init__(structure)
        self.baseline_inputs = baseline_inputs

    def pass_operation(self, node: fx.Node, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        operation = operation_of(node, self.module)  # type: ignore[arg-type]
        if is_elementwise(operation):

            def apply(values: Tensor) -> Tensor:
                return super(_RescaleInterpreter, self).pass_operation(node, (values, *arguments[1:]), keywords)

            return rescale(apply, arguments[0], self.baseline_inputs[node])
        if is_max_pool(operation):
            settings = _pool_settings(operation, arguments, keywords)
            return rescale_max_pool(arguments[0], self.baseline_inputs[node], settings)
        return super().pass_operation(node, arguments, keywords)


def rescale(function: Any, values: Tensor, baseline: Tensor) -> Tensor:
    """`function(values)`, whose derivative is the rescale multiplier relative to `baseline`."""
    outer = values.detach()
    with torch.enable_grad():
        leaf = outer.clone().requires_grad_()
        output = function(leaf)
        (derivative,) = torch.autograd.grad(output.sum(), leaf)
    output = output.detach()
    difference = outer - baseline
    tiny = difference.abs() < SMALLEST_DIFFERENCE
    slope = (output - function(baseline.clone())) / torch.where(tiny, 1.0, difference)
    return output + torch.where(tiny, derivative, slope) * (values - outer)


def rescale_max_pool(values: Tensor, baseline: Tensor, settings: dict[str, Any]) -> Tensor:
    """`max_pool2d(values)`, whose derivative shares each window's difference between the two winners."""
    outer = values.detach()
    baseline = baseline.expand_as(outer)
    output, winners = functional.max_pool2d_with_indices(outer, **settings)
    baseline_output, baseline_winners = functional.max_pool2d_with_indices(baseline, **settings)
    difference = (outer - baseline).flatten(2)
    larger = torch.maximum(output, baseline_output)
    change = (values - outer).flatten(2)

    def passed(indices: Tensor, share: Tensor, at_zero: float) -> Tensor:
        flat = indices.flatten(2)
        at_winner = difference.gather(2, flat)
        tiny = at_winner.abs() < SMALLEST_DIFFERENCE
        slope = torch.where(tiny, at_zero, share.flatten(2) / torch.where(tiny, 1.0, at_winner))
        return (slope * change.gather(2, flat)).reshape(output.shape)

    return output + passed(winners, larger - baseline_output, 1.0) + passed(baseline_winners, output - larger, 0.0)


def _pool_settings(operation: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    if isinstance(operation, torch.nn.Module):
        return {name: getattr(operation, name) for name in names}
    given = dict(zip(names, arguments[1:], strict=False)) | keywords
    return {name: given[name] for name in names if name in given}
