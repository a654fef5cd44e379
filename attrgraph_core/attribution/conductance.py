"""Conductance: what flows through a neuron or an edge on the straight way from a baseline to the input.

Dhamdhere et al. (2018): a neuron gets `∫ ∂F/∂z dz`, an edge from i to j `∫ W_ji ∂F/∂z_j da_i`. The way has `steps`
equal steps; an edge is `Σ_k (a_i^{k+1} - a_i^k) W_ji (g_j^k + g_j^{k+1}) / 2`, the trapezoid rule, exact where the
gradient is linear along the way. Into a neuron its edges sum to its conductance at any number of steps. The network's
own derivative is taken, attention and normalisations included, so all layers are complete up to the error of the rule.

Several baselines give the mean over them: expected gradients (Erion et al., 2021), by quadrature in the place of draws.
"""

import torch
from torch import Tensor

from attrgraph_core.attribution.contraction import Term
from attrgraph_core.attribution.factors import (
    AttributionMethod,
    Batch,
    Factors,
    LayerFactors,
    gradient_at,
    gradients_of,
)
from attrgraph_core.attribution.network_pass import LayerRecord, NetworkPass
from attrgraph_core.attribution.structure import NetworkStructure
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
        place = torch.linspace(0, 1, points, dtype=ways.dtype, device=ways.device)
        place = place.reshape(1, points, *[1] * (ways.dim() - 1))
        inputs = (baselines.unsqueeze(1) + place * (ways - baselines).unsqueeze(1)).flatten(0, 1).requires_grad_()
        network_pass = NetworkPass(structure)
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
        gradients = gradients_of(scores / count, inputs, network_pass.recording)
        with torch.no_grad():
            layers = tuple(self._layer(record, gradients) for record in network_pass.recording.layers.values())
            own = None
            if inputs.requires_grad:
                own = self._steps(inputs.detach()) * self._between(gradient_at(gradients, inputs))
            by_way = scores.detach().unflatten(0, (-1, count, points))
            explained = (by_way[:, :, -1] - by_way[:, :, 0]).mean(dim=1)
        return Factors(layers, own, explained, torch.zeros_like(explained), count * self.steps)

    def _layer(self, record: LayerRecord, gradients: dict[int, Tensor]) -> LayerFactors:
        between = self._between(gradient_at(gradients, record.output))
        attribution = self._steps(record.output.detach()) * between
        if record.layer.operation == "junction":
            shares = tuple(
                self._steps(values.detach()) * self._between(gradient_at(gradients, values)) for values in record.inputs
            )
            return LayerFactors(record.layer, attribution, shares=shares)
        if record.layer.operation == "embedding":
            return LayerFactors(record.layer, attribution, shares=(attribution,))
        return LayerFactors(record.layer, attribution, terms=(Term(self._steps(record.inputs[0].detach()), between),))

    def _steps(self, values: Tensor) -> Tensor:
        """Differences of neighbours on the way, (samples and baselines and steps, ...)."""
        return values.unflatten(0, (-1, self.steps + 1)).diff(dim=1).flatten(0, 1)

    def _between(self, gradient: Tensor) -> Tensor:
        by_way = gradient.unflatten(0, (-1, self.steps + 1))
        return ((by_way[:, 1:] + by_way[:, :-1]) / 2).flatten(0, 1)


class ExpectedGradients(Conductance):
    """Conductance from every sample of a background set, averaged (Erion et al., 2021)."""

    name = "expected_gradients"


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
