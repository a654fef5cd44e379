"""Conductance: what flows through a neuron or an edge on the straight way from a baseline to the input.

Dhamdhere et al. (2018): a neuron gets `∫ ∂F/∂z dz`, an edge from i to j `∫ W_ji ∂F/∂z_j da_i`. The way has `steps`
equal steps; an edge is `Σ_k (a_i^{k+1} - a_i^k) W_ji (g_j^k + g_j^{k+1}) / 2`, the trapezoid rule, exact where the
gradient is linear along the way. It is summed by parts, `Σ_k a_i^k W_ji (g_j^{k-1} - g_j^{k+1}) / 2`, at the ends
`-(g_j^0 + g_j^1) / 2` and `(g_j^{n-1} + g_j^n) / 2`: activations are taken as they are, and one difference, that of the
gradient, serves a layer's edges and its neurons. Into a neuron its edges sum to its conductance at any number of steps.
The network's own derivative is taken, attention and normalisations included, so all layers are complete up to the error
of the rule. What reads the input alone is linear along the way: such a layer is computed at both ends, and the
gradients of all steps are summed before they meet its one step.

Several baselines give the mean over them: expected gradients (Erion et al., 2021), by quadrature in the place of draws.
"""

import torch
from torch import Tensor

from attrgraph_core.attribution.factors import (
    AttributionMethod,
    Batch,
    Factors,
    LayerFactors,
    gradient_at,
    gradients_of,
    input_total,
    layer_factors,
)
from attrgraph_core.attribution.network_pass import LayerRecord, NetworkPass, differentiable
from attrgraph_core.attribution.structure import Layer, NetworkStructure
from attrgraph_core.attribution.term import Term
from attrgraph_core.errors import AttrGraphError

STEPS = 32


class Conductance(AttributionMethod):
    """`steps` of the way; more of them, less of an error (it falls with their square)."""

    name = "conductance"
    uses_baseline = True
    largest_gap = 0.1  # the rule's error at the kinks of ReLU networks
    when_incomplete = "more steps make the error smaller: method=Conductance(steps=64)"

    def __init__(self, steps: int = STEPS):
        if steps < 1:
            raise AttrGraphError(f"the way from the baseline needs at least 1 step, not {steps}")
        self.steps = steps

    def rows_per_sample(self, background_count: int) -> int:
        return background_count * (self.steps + 1)

    def factors(self, structure: NetworkStructure, batch: Batch) -> Factors:
        count, points = len(batch.baselines), self.steps + 1
        if structure.reads_tokens:
            return self._factors_of_tokens(structure, batch)
        ways = batch.inputs.detach().repeat_interleave(count, dim=0)
        baselines = batch.baselines.repeat(len(batch.inputs), *[1] * (ways.dim() - 1))
        inputs = _between(torch.stack([baselines, ways], dim=1), points)
        if batch.needs_input_gradient(structure):
            inputs.requires_grad_()
            network_pass = NetworkPass(structure)
        else:
            network_pass = _StraightPass(structure, points)
        return self._from_pass(network_pass, network_pass.run(inputs), inputs, batch)

    def _factors_of_tokens(self, structure: NetworkStructure, batch: Batch) -> Factors:
        """The way is a straight one between the embeddings."""
        count, points = len(batch.baselines), self.steps + 1
        ways = batch.inputs.repeat_interleave(count, dim=0)
        baselines = batch.baselines.repeat(len(batch.inputs), *[1] * (ways.dim() - 1))
        inputs = ways.repeat_interleave(points, dim=0)
        network_pass = _EmbeddedWay(structure, baselines.repeat_interleave(points, dim=0), points)
        return self._from_pass(network_pass, network_pass.run(inputs), inputs, batch)

    def _from_pass(self, network_pass: NetworkPass, logits: Tensor, inputs: Tensor, batch: Batch) -> Factors:
        count, points = len(batch.baselines), self.steps + 1
        scores = batch.target.rows(count * points).score(logits)
        # Halved here, as a point's gradient is half of that of the steps on both its sides.
        gradients = gradients_of(scores / (2 * count), inputs, network_pass.recording)
        with torch.no_grad():
            structure, records = network_pass.structure, network_pass.recording.layers
            straight = {
                layer.name: self._straight_layer(records[layer.name], gradients) for layer in structure.input_readers
            }
            for layer in structure.input_readers:
                del gradients[id(records[layer.name].output)]
            counts = self._by_parts(gradients)
            layers = tuple(straight.get(name) or layer_factors(record, counts) for name, record in records.items())
            by_way = scores.detach().unflatten(0, (-1, count, points))
            explained = (by_way[:, :, -1] - by_way[:, :, 0]).mean(dim=1)
            own = total = None
            if inputs.requires_grad:
                own = inputs.detach() * gradient_at(counts, inputs)
            elif not structure.reads_tokens:
                total = input_total(structure, layers, explained)
        return Factors(layers, own, explained, torch.zeros_like(explained), total)

    def _straight_layer(self, record: LayerRecord, gradients: dict[int, Tensor]) -> LayerFactors:
        """All steps of what is linear along the way are one, from end to end, by the mean gradient."""
        by_way = gradient_at(gradients, record.output).unflatten(0, (-1, self.steps + 1))
        mean = torch.sum(by_way, dim=1, out=torch.empty_like(by_way[:, 0]))  # in the gradient's order of memory
        mean.mul_(2).sub_(by_way[:, 0]).sub_(by_way[:, -1]).div_(self.steps)
        way, read = (self._whole_way(values.detach()) for values in (record.output, record.inputs[0]))
        return LayerFactors(record.layer, way, mean, terms=(Term(read, mean),))

    def _by_parts(self, gradients: dict[int, Tensor]) -> dict[int, Tensor]:
        """What the values of each point count, in the place of `gradients`, by the same identities."""
        counts: dict[object, Tensor] = {}
        by_identity = {}
        for identity, gradient in gradients.items():
            memory = gradient.data_ptr(), gradient.shape, gradient.stride()  # the operands of an addition share one
            if memory not in counts:
                counts[memory] = self._count(gradient)
            by_identity[identity] = counts[memory]
        return by_identity

    def _count(self, gradient: Tensor) -> Tensor:
        """The gradient at the point before less that at the point after, (samples and baselines and points, ...)."""
        by_way = gradient.unflatten(0, (-1, self.steps + 1))
        counts = torch.empty_like(by_way)
        torch.sub(by_way[:, :-2], by_way[:, 2:], out=counts[:, 1:-1])
        torch.add(by_way[:, 0], by_way[:, 1], out=counts[:, 0]).neg_()
        torch.add(by_way[:, -2], by_way[:, -1], out=counts[:, -1])
        return counts.flatten(0, 1)

    def _whole_way(self, values: Tensor) -> Tensor:
        """The last point less the first, (samples and baselines, ...)."""
        by_way = values.unflatten(0, (-1, self.steps + 1))
        return by_way[:, -1] - by_way[:, 0]


def _between(ends: Tensor, points: int) -> Tensor:
    """Points of the straight way between `ends` (ways, 2, ...), both among them, (ways and points, ...)."""
    place = torch.linspace(0, 1, points, dtype=ends.dtype, device=ends.device)
    place = place.reshape(1, points, *[1] * (ends.dim() - 2))
    return torch.lerp(ends[:, :1], ends[:, 1:], place).flatten(0, 1)


class ExpectedGradients(Conductance):
    """Conductance from every sample of a background set, averaged (Erion et al., 2021)."""

    name = "expected_gradients"
    fewest_baselines = 2


class _StraightPass(NetworkPass):
    """Computes what reads the input alone at both ends of the way, and the points between from them."""

    def __init__(self, structure: NetworkStructure, points: int):
        super().__init__(structure)
        self.points = points

    def weighted(self, layer: Layer, values: Tensor) -> Tensor:
        if layer not in self.structure.input_readers:
            return super().weighted(layer, values)
        by_way = values.unflatten(0, (-1, self.points))
        ends = by_way[:, [0, -1]]
        at_ends = layer.apply(ends.flatten(0, 1), layer.weight(), layer.bias())
        output = differentiable(_between(at_ends.unflatten(0, (-1, 2)), self.points))
        self.recording.layers[layer.name] = LayerRecord(layer, (values,), output)
        return output


class _EmbeddedWay(NetworkPass):
    """Embeddings on the straight way from those of the baseline's tokens, point by point."""

    def __init__(self, structure: NetworkStructure, baselines: Tensor, points: int):
        super().__init__(structure)
        self.baselines = baselines
        self.place = torch.linspace(0, 1, points, device=baselines.device).repeat(len(baselines) // points)

    def pass_embedding(self, node, arguments, keywords):  # type: ignore[no-untyped-def]
        (layer,) = self.structure.layers_of_node[node]
        tokens = arguments[0]
        if tokens.shape != self.baselines.shape:
            raise AttrGraphError(
                f"{layer.name!r} embeds something else than the tokens as they are given; conductance has no way "
                "between such embeddings. Take deeplift"
            )
        with torch.no_grad():
            ends = [self.plain(node, (part, *arguments[1:]), keywords) for part in (self.baselines, tokens)]
            place = self.place.to(ends[0].dtype).reshape(-1, *[1] * (ends[0].dim() - 1))
            output = ends[0] + place * (ends[1] - ends[0])
        output.requires_grad_()
        self.recording.layers[layer.name] = LayerRecord(layer, (output,), output)
        return output
