"""What every attribution method gives of a batch: two factors a layer, from which the edges follow.

One traced forward pass records each weighted layer's input and output, one backward pass from the target score gives
the gradients (or multipliers) at the outputs. A method differs only in how it passes the operations between the
layers, and in whether it counts activations or their differences from a baseline.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from attrgraph_core.attribution.structure import (
    NORMALISATIONS,
    NetworkStructure,
    is_elementwise,
    operation_of,
)


@dataclass(frozen=True)
class LayerFactors:
    """Factors of one layer for a batch.

    `source` has the shape of the layer's input (activation, or its difference from the baseline), `target` that of
    its output (gradient or multiplier), `output` that of its output: `output * target` is the attribution.
    """

    source: Tensor
    target: Tensor
    output: Tensor


@dataclass(frozen=True)
class Factors:
    """Factors of all layers for a batch.

    `input_attribution` has the shape of the input. `layer_gaps` has a row a layer, the input first: what its
    attributions leave out of the explained score, shape (layers + 1, samples). `explained` (samples,) is that score.
    """

    layers: dict[str, LayerFactors]
    input_attribution: Tensor
    layer_gaps: Tensor
    explained: Tensor


@dataclass
class Recording:
    """Inputs and outputs of the weighted layers in one pass, by layer name, and the affine shifts of normalisations."""

    layer_inputs: dict[str, Tensor] = field(default_factory=dict)
    layer_outputs: dict[str, Tensor] = field(default_factory=dict)
    affine_outputs: list[tuple[nn.Module, Tensor]] = field(default_factory=list)


class RecordingInterpreter(fx.Interpreter):
    """Runs the traced network and records what its weighted layers read and give."""

    def __init__(self, structure: NetworkStructure):
        super().__init__(structure.traced, garbage_collect_values=True)
        self.layer_of_node = {layer.node: layer for layer in structure.layers}
        self.recording = Recording()

    def run_node(self, n: fx.Node) -> Any:
        if n.op not in ("call_module", "call_function", "call_method"):
            return super().run_node(n)
        arguments, keywords = self.fetch_args_kwargs_from_env(n)
        layer = self.layer_of_node.get(n)
        if layer is not None:
            output = layer.module(arguments[0])
            self.recording.layer_inputs[layer.name] = arguments[0]
            self.recording.layer_outputs[layer.name] = output
        else:
            output = self.pass_operation(n, arguments, keywords)
        operation = operation_of(n, self.module)  # type: ignore[arg-type]
        if layer is not None or isinstance(operation, NORMALISATIONS):
            self.recording.affine_outputs.append((operation, output))
        return output

    def pass_operation(self, node: fx.Node, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The result of one operation between the layers; a method overrides this to replace its derivative."""
        if is_elementwise(operation_of(node, self.module)):  # type: ignore[arg-type]
            # An activation in place would overwrite the recorded output of the layer before it.
            arguments = (arguments[0].clone(), *arguments[1:])
        return getattr(self, node.op)(node.target, arguments, keywords)


class AttributionMethod(ABC):
    """One way to share a target score among neurons. `name` is what graphs and queries call it."""

    name: str
    uses_baseline: bool

    @abstractmethod
    def factors(self, structure: NetworkStructure, inputs: Tensor, targets: Tensor, baseline: Tensor) -> Factors:
        """Factors of `inputs` (samples, ...) for the logits `targets` (samples,), relative to `baseline` (1, ...)."""


def backward_factors(
    score: Tensor, inputs: Tensor, recording: Recording, extra: Iterable[Tensor] = ()
) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
    """Gradients of the summed score at the input, at every weighted layer's output, and at the `extra` tensors."""
    names = list(recording.layer_outputs)
    wanted = [inputs, *recording.layer_outputs.values(), *extra]
    # A dead layer may cut the score off from what lies below: nothing flows, so its gradient is zero.
    gradients = torch.autograd.grad(score.sum(), wanted, allow_unused=True)
    filled = [torch.zeros_like(tensor) if g is None else g for tensor, g in zip(wanted, gradients, strict=True)]
    return filled[0], dict(zip(names, filled[1 : 1 + len(names)], strict=True)), filled[1 + len(names) :]


def per_sample(tensor: Tensor) -> Tensor:
    """Sum over everything but the samples, shape (samples,)."""
    return tensor.flatten(1).sum(dim=1)


def gather_scores(logits: Tensor, targets: Tensor) -> Tensor:
    """The target logit of each sample, shape (samples,)."""
    return logits.gather(1, targets.unsqueeze(1)).squeeze(1)
