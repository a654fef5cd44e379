"""Layer-wise relevance propagation (Bach et al., 2015): a score is passed down as relevance, by a rule a layer.

A layer with weights shares a neuron's relevance `R_j` by its rule; an activation passes it on; a sum shares it in
proportion, a product in halves; attention weights and the statistics of normalisations are held constant (Ali et al.,
2022). What biases and stabilisers keep is in the ledger: the columns `absorbed_by_bias` and `absorbed_by_stabiliser`.

It is computed as a gradient: with `c = R / z` an ε-rule is the network's own derivative with `c` scaled by
`z / (z + ε)`. On ReLU networks LRP-ε with a vanishing ε is gradient x activation, so the two are no comparison.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, fx, nn

from attrgraph_core.attribution.attention import attend, attention_weights, stop_at_weights
from attrgraph_core.attribution.given_derivative import with_derivative
from attrgraph_core.attribution.gradient_times_activation import GradientTimesActivation
from attrgraph_core.attribution.network_pass import (
    LayerRecord,
    NetworkPass,
    PieceRecord,
    alias,
    channel_shape,
    differentiable,
)
from attrgraph_core.attribution.normalisation import normalisation
from attrgraph_core.attribution.operations import is_homogeneous
from attrgraph_core.attribution.relevance_rules import Epsilon, GeneralisedGamma, Rule
from attrgraph_core.attribution.structure import Layer, NetworkStructure
from attrgraph_core.errors import AttrGraphError

SMALLEST_VALUE = 1e-12


class LayerwiseRelevance(GradientTimesActivation):
    """LRP by `rule`, or by the first of `rules` whose pattern fits: a kind (`channel`, `unit`, `output`) or a layer's
    name, in which `*` stands for anything."""

    uses_baseline = False
    holds_context = True

    def __init__(self, name: str = "lrp", rule: Rule | None = None, rules: Mapping[str, Rule] | None = None):
        self.name = name
        self.rule = rule or Epsilon()
        self.rules = dict(rules or {})

    def make_pass(self, structure: NetworkStructure) -> NetworkPass:
        unused = [
            pattern for pattern in self.rules
            if pattern not in ("channel", "unit", "head", "output")
            and not any(fnmatchcase(name, pattern) for name in structure.names)
        ]  # fmt: skip
        if unused:
            raise AttrGraphError(
                f"the rule for {unused[0]!r} fits no layer; there are {', '.join(structure.names[1:])}, and the kinds "
                "channel, unit, head and output"
            )
        return _RelevancePass(structure, self.rule_of)

    def rule_of(self, layer: Layer) -> Rule:
        for pattern, rule in self.rules.items():
            if pattern == layer.kind or fnmatchcase(layer.name, pattern):
                return rule
        return self.rule


def lrp_epsilon() -> LayerwiseRelevance:
    """ε everywhere."""
    return LayerwiseRelevance("lrp_epsilon", Epsilon())


def lrp_gamma() -> LayerwiseRelevance:
    """Generalised γ everywhere."""
    return LayerwiseRelevance("lrp_gamma", GeneralisedGamma())


def lrp_composite() -> LayerwiseRelevance:
    """γ for convolutions, ε elsewhere: after Montavon et al. (2019), section 10.3, in its generalised form."""
    return LayerwiseRelevance("lrp_composite", Epsilon(), {"channel": GeneralisedGamma()})


class _RelevancePass(NetworkPass):
    """Its derivative is `R / z`."""

    def __init__(self, structure: NetworkStructure, rule_of: Any):
        super().__init__(structure, keep_shifts=True)
        self.rule_of = rule_of

    def weighted(self, layer: Layer, values: Tensor) -> Tensor:
        own_weight = layer.weight()
        whole = differentiable(layer.apply(values, own_weight, layer.bias()))
        with torch.no_grad():
            pieces = self.rule_of(layer).pieces(layer, values.detach(), whole.detach())
        records = []
        for piece in pieces:
            is_whole = piece.weight.data_ptr() == own_weight.data_ptr() and piece.source.data_ptr() == values.data_ptr()
            part = whole if is_whole else layer.apply(_through(piece.source, values), piece.weight, None)
            records.append(PieceRecord(piece.source, piece.weight, differentiable(part), piece.stabiliser))
            if piece.bias is not None:
                self.keep_shift(channel_shape(piece.bias, part, layer), part, layer)
            self.keep_shift(piece.stabiliser, part, layer)
        slopes = [(record.output, piece.factor) for record, piece in zip(records, pieces, strict=True)]
        result = with_derivative(whole.detach(), *slopes)
        self.recording.layers[layer.name] = LayerRecord(layer, (values,), result, pieces=tuple(records))
        return result

    def pass_elementwise(self, node: fx.Node, arguments: Any, keywords: Any) -> Tensor:
        if is_homogeneous(self.operation(node)):
            return self.plain(node, arguments, keywords)  # its derivative is y / z
        values = arguments[0]
        with torch.no_grad():
            output = self.plain(node, arguments, keywords)
            safe = torch.where(values.abs() < SMALLEST_VALUE, torch.where(values < 0, -1, 1) * SMALLEST_VALUE, values)
        return with_derivative(output, (values, output / safe))

    def pass_multiply(self, node: fx.Node, arguments: Any, keywords: Any) -> Tensor:
        (layer,) = self.structure.layers_of_node[node]
        first, second = (alias(part) for part in torch.broadcast_tensors(*arguments[:2]))
        one, other = first.detach(), second.detach()
        output = one * other + (other * (first - one) + one * (second - other)) / 2
        self.recording.layers[layer.name] = LayerRecord(layer, (first, second), output)
        return output

    def pass_normalise(self, node: fx.Node, arguments: Any, keywords: Any) -> Tensor:
        asked = normalisation(self.operation(node), arguments, keywords)
        statistics = asked.statistics()
        output = asked.frozen(asked.values, statistics)
        with torch.no_grad():
            self.keep_shift(asked.frozen(torch.zeros_like(asked.values), statistics), output)
        return output

    def pass_softmax(self, node: fx.Node, arguments: Any, keywords: Any) -> Tensor:
        return self.plain(node, arguments, keywords).detach()

    def pass_attend(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        held = stop_at_weights(self.operation(node), arguments, keywords, _stopped)
        return self.plain(node, *held)

    def attended(self, module: nn.MultiheadAttention, given: dict[str, Any], values: Tensor) -> Tensor:
        with torch.no_grad():
            weights = attention_weights(module, given)
        return attend(module, weights, values)


def _stopped(part: Any) -> Any:
    return part.detach() if isinstance(part, Tensor) else part


def _through(source: Tensor, values: Tensor) -> Tensor:
    """`source`, a part of `values`, with the derivative of `values` where it is that part."""
    return source + (source != 0).to(source) * (values - values.detach())
