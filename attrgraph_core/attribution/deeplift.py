"""DeepLIFT with the rescale rule (Shrikumar et al., 2017): differences from a baseline, shared by multipliers.

A non-linearity `y = f(z)` passes the multiplier `(y - y') / (z - z')` in the place of a derivative, a product the mean
of the other factor and its baseline. A layer's contributions `Δz m` then sum to `F(x) - F(x')` exactly, without a bias
term.

Attention weights, the statistics of layer and group normalisations and masks made of tokens are held at what they are
for the input, in the baseline's pass, too: `F(x')` is then that of the network with this context. What the context
itself owes to the input is not explained; what flows through it is, completely.

The baseline is one input, so its pass costs one row (a row a sample where there is context to hold); Captum's hooks run
every input twice. Several baselines (DeepSHAP: Lundberg & Lee, 2017) give the mean over them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from attrgraph_core.attribution.attention import attend, attention_weights, stop_at_weights
from attrgraph_core.attribution.factors import (
    AttributionMethod,
    Batch,
    Factors,
    gradient_at,
    gradients_of,
    input_total,
    layer_factors,
)
from attrgraph_core.attribution.network_pass import LayerRecord, NetworkPass, alias, differentiable
from attrgraph_core.attribution.normalisation import normalisation
from attrgraph_core.attribution.operations import LARGEST
from attrgraph_core.attribution.rescale import (
    is_adaptive_max_pool,
    max_pool_settings,
    rescale,
    rescale_max_pool,
    rescale_maximum,
    rescale_product,
)
from attrgraph_core.attribution.structure import Layer, NetworkStructure
from attrgraph_core.attribution.tracing import leaves, map_leaves

# Kinds that are held at what they are for the input.
CONTEXT = ("normalise", "softmax", "attend", "attention", "context")


class DeepLift(AttributionMethod):
    name = "deeplift"
    uses_baseline = True
    holds_context = True
    largest_gap = 0.01  # float32 stays under 1e-4, a broken rule far above
    when_incomplete = "its scores may barely differ from those of the baseline; name another baseline"

    def rows_per_sample(self, background_count: int) -> int:
        return background_count

    def factors(self, structure: NetworkStructure, batch: Batch) -> Factors:
        count, samples = len(batch.baselines), len(batch.inputs)
        inputs = batch.inputs.detach().repeat_interleave(count, dim=0)
        by_gradient = batch.needs_input_gradient(structure)
        if by_gradient:
            inputs.requires_grad_()
        baselines = batch.baselines
        if count > 1 or structure.has(*CONTEXT):
            baselines = baselines.repeat(samples, *[1] * (inputs.dim() - 1))
        network_pass = _DualPass(structure)
        logits = network_pass.run(Dual(inputs, baselines))
        score, reference = batch.target.rows(count).rescaled(logits.value, logits.reference)
        recording = network_pass.recording
        # The mean over the baselines: each is one of `count` rows whose shares add up.
        gradients = gradients_of(score / count, inputs, recording)
        with torch.no_grad():
            layers = tuple(layer_factors(record, gradients) for record in recording.layers.values())
            explained = (score - reference).detach().unflatten(0, (samples, count)).mean(dim=1)
            own = (inputs.detach() - baselines) * gradient_at(gradients, inputs) if by_gradient else None
            total = None if by_gradient or structure.reads_tokens else input_total(structure, layers, explained)
        return Factors(layers, own, explained, torch.zeros_like(explained), total)


class DeepShap(DeepLift):
    """DeepLIFT against a background set, averaged (Lundberg & Lee, 2017; Captum: DeepLiftShap)."""

    name = "deepshap"
    fewest_baselines = 2


@dataclass(frozen=True, eq=False)
class Dual:
    """A value of the input's pass and the same of the baseline's."""

    value: Any
    reference: Any


def _values(arguments: Any) -> Any:
    return map_leaves(lambda part: part.value if isinstance(part, Dual) else part, arguments)


def _references(arguments: Any) -> Any:
    return map_leaves(lambda part: part.reference if isinstance(part, Dual) else part, arguments)


class _DualPass(NetworkPass):
    """Runs inputs and baseline side by side; the derivative of every non-linearity is its multiplier."""

    def __init__(self, structure: NetworkStructure):
        super().__init__(structure)

    def plain(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        if not any(isinstance(part, Dual) for part in leaves((arguments, keywords))):
            return super().plain(node, arguments, keywords)
        value = super().plain(node, *_values((arguments, keywords)))
        with torch.no_grad():
            reference = super().plain(node, *_references((arguments, keywords)))
        if isinstance(value, torch.Size):
            return tuple(Dual(one, other) for one, other in zip(value, reference, strict=True))
        return tree_map(Dual, value, reference)

    def pass_elementwise(self, node: fx.Node, arguments: Any, keywords: Any) -> Dual:
        first, *others = arguments

        def apply(values: Tensor) -> Tensor:
            return NetworkPass.plain(self, node, (values, *_values(others)), _values(keywords))

        with torch.no_grad():
            reference = apply(first.reference)
        return Dual(rescale(apply, first.value, first.reference), reference)

    def pass_max_pool(self, node: fx.Node, arguments: Any, keywords: Any) -> Dual:
        first = arguments[0]
        operation = self.operation(node)
        with torch.no_grad():
            reference = NetworkPass.plain(self, node, *_references((arguments, keywords)))
        if operation in LARGEST:
            given = dict(zip(("dim", "keepdim"), arguments[1:], strict=False)) | keywords
            value = rescale_maximum(first.value, first.reference, given["dim"])
            return Dual(value.reshape(len(value), *reference.shape[1:]), reference)
        settings = max_pool_settings(operation, arguments, keywords)
        is_adaptive = is_adaptive_max_pool(operation)
        return Dual(rescale_max_pool(first.value, first.reference, settings, is_adaptive), reference)

    def pass_affine(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        return self.plain(node, arguments, keywords)

    def weighted(self, layer: Layer, values: Any) -> Dual:
        output = differentiable(layer.apply(values.value, layer.weight(), layer.bias()))
        with torch.no_grad():
            reference = layer.apply(values.reference, layer.weight(), layer.bias())
        self.recording.layers[layer.name] = LayerRecord(layer, (values.value,), output, (values.reference,), reference)
        return Dual(output, reference)

    def pass_embedding(self, node: fx.Node, arguments: Any, keywords: Any) -> Dual:
        (layer,) = self.structure.layers_of_node[node]
        with torch.no_grad():
            output = self.plain(node, arguments, keywords)
        value = output.value.detach().requires_grad_()
        self.recording.layers[layer.name] = LayerRecord(layer, (value,), value, (output.reference,), output.reference)
        return Dual(value, output.reference)

    def pass_add(self, node: fx.Node, arguments: Any, keywords: Any) -> Dual:
        return self._junction(
            node, arguments, keywords,
            lambda one, other: NetworkPass.plain(self, node, (one.value, other.value, *arguments[2:]), keywords),
        )  # fmt: skip

    def pass_multiply(self, node: fx.Node, arguments: Any, keywords: Any) -> Dual:
        return self._junction(
            node, arguments, keywords,
            lambda one, other: rescale_product(one.value, other.value, one.reference, other.reference),
        )  # fmt: skip

    def _junction(self, node: fx.Node, arguments: Any, keywords: Any, join: Callable[[Dual, Dual], Tensor]) -> Dual:
        (layer,) = self.structure.layers_of_node[node]
        first, second = arguments[:2]
        values = [alias(part) for part in torch.broadcast_tensors(first.value, second.value)]
        references = torch.broadcast_tensors(first.reference, second.reference)
        one, other = (Dual(*pair) for pair in zip(values, references, strict=True))
        output = join(one, other)
        with torch.no_grad():
            reference = NetworkPass.plain(self, node, (*references, *_references(arguments[2:])), keywords)
        self.recording.layers[layer.name] = LayerRecord(
            layer, (one.value, other.value), output, (one.reference, other.reference), reference
        )
        return Dual(output, reference)

    # Context, held at what it is for the input

    def pass_context(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        with torch.no_grad():
            held = NetworkPass.plain(self, node, *_values((arguments, keywords)))
        return tree_map(lambda part: Dual(part, part), held)

    def pass_normalise(self, node: fx.Node, arguments: Any, keywords: Any) -> Dual:
        asked = normalisation(self.operation(node), *_values((arguments, keywords)))
        first = arguments[0] if arguments else keywords["input"]
        statistics = asked.statistics()
        with torch.no_grad():
            reference = asked.frozen(first.reference, statistics)
        return Dual(asked.frozen(first.value, statistics), reference)

    def pass_softmax(self, node: fx.Node, arguments: Any, keywords: Any) -> Dual:
        with torch.no_grad():
            weights = NetworkPass.plain(self, node, *_values((arguments, keywords)))
        return Dual(weights, weights)

    def pass_attend(self, node: fx.Node, arguments: Any, keywords: Any) -> Dual:
        held = stop_at_weights(self.operation(node), arguments, keywords, _held)
        value = NetworkPass.plain(self, node, *_values(held))
        with torch.no_grad():
            reference = NetworkPass.plain(self, node, *_references(held))
        return Dual(value, reference)

    def attended(self, module: nn.MultiheadAttention, given: dict[str, Any], values: Any) -> Dual:
        with torch.no_grad():
            weights = attention_weights(module, _values(given))
            reference = attend(module, weights, values.reference)
        return Dual(attend(module, weights, values.value), reference)


def _held(part: Any) -> Any:
    """What it is for the input, in the baseline's pass, too, without derivative."""
    return Dual(part.value.detach(), part.value.detach()) if isinstance(part, Dual) else part
