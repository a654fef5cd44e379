"""ACE, the average causal effect of a neuron (Chattopadhyay et al., 2019), of the input or of a hidden layer.

`ACE(x_i = α) = E[F | do(x_i = α)] - E_α E[F | do(x_i = α)]`: the expected score when the neuron is set to α while its
layer's other neurons are as in a background set, less the mean of that over the neuron's range in the set. A sample's
attribution is the effect of the value that it has. Neurons of one layer do not cause each other, so the intervention
leaves the others' distribution as it is.

The expectation is the mean over the background set, or (`second_order`, as in the paper) Taylor's expansion about its
means, `F(μ) + ½ Tr(∇²F(μ) Cov)` with `μ_i = α` and no covariance of neuron i: the same where F is quadratic, and only
`F(μ)` where it is piecewise linear.
"""

from typing import Any, Literal

import torch
from torch import Tensor, fx

from attrgraph_core.attribution.factors import Batch
from attrgraph_core.attribution.method import Obstacle
from attrgraph_core.attribution.network_pass import NetworkPass
from attrgraph_core.attribution.neuron_methods.neuron_method import (
    ROWS_AT_ONCE,
    NeuronMethod,
    NeuronShares,
    leaf_of,
    refuse_endless,
    scores_of,
)
from attrgraph_core.attribution.structure import INPUT, Layer, NetworkStructure
from attrgraph_core.attribution.target import Target
from attrgraph_core.errors import AttrGraphError

Expectation = Literal["background", "second_order"]
POINTS = 16
_CHANGE = "take conductance, or ablate neurons (`ablation`)"


class AverageCausalEffect(NeuronMethod):
    """Neurons of the input and of each layer that all paths cross and whose neurons have one element each.

    `points` are the values, evenly over a neuron's range in the background set, whose mean effect is the baseline.
    """

    name = "ace"
    uses_baseline = True
    fewest_baselines = 2
    reads_tokens = True

    def __init__(self, expectation: Expectation = "background", points: int = POINTS):
        if expectation not in ("background", "second_order"):
            raise AttrGraphError(f"unknown expectation {expectation!r}; known are background, second_order")
        if points < 2:
            raise AttrGraphError(f"a neuron's range needs 2 points or more, not {points}")
        self.expectation, self.points = expectation, points

    def omissions(self, structure: NetworkStructure) -> list[Obstacle]:
        found = []
        if structure.reads_tokens:
            found.append(Obstacle("input", "is left out: tokens have no range to intervene in", _CHANGE))
        for layer in structure.layers:
            if not _has_effects(structure, layer):
                single = len(layer.neurons.index) == layer.width
                why = "a path passes it by" if single else "its neurons have several elements each"
                found.append(Obstacle(layer.name, f"is left out: {why}", _CHANGE))
        return found

    def shares(self, structure: NetworkStructure, batch: Batch) -> NeuronShares:
        explained = scores_of(structure, batch, True)[2]
        names = [] if structure.reads_tokens else [INPUT]
        names += [layer.name for layer in structure.layers if _has_effects(structure, layer)]
        widths = sum(structure.widths[name] for name in names)
        passes = len(batch.inputs) + self.points
        if self.expectation == "second_order":
            passes = len(batch.inputs) * (1 + self.points)
        refuse_endless(
            self.name, passes * len(batch.baselines) * widths, "give fewer samples and backgrounds, or take conductance"
        )
        return NeuronShares({name: self._of_layer(structure, batch, name) for name in names}, explained)

    def _of_layer(self, structure: NetworkStructure, batch: Batch, name: str) -> Tensor:
        """ACE of a layer's neurons at each sample's values, (samples, *output)."""
        values, background = (_outputs(structure, part, name) for part in (batch.inputs, batch.baselines))
        flat, others = values.flatten(1), background.flatten(1)
        low, high = others.min(dim=0).values, others.max(dim=0).values
        place = torch.linspace(0, 1, self.points, dtype=flat.dtype, device=flat.device).unsqueeze(1)
        above = _Above(structure, name, values.shape[1:], batch.inputs[:1])
        targets = [batch.target.part(slice(sample, sample + 1)) for sample in range(len(flat))]
        at_grid = [self._expected(above, others, alphas, targets) for alphas in low + place * (high - low)]
        own = [self._expected(above, others, alphas, [target])[0] for alphas, target in zip(flat, targets, strict=True)]
        return (torch.stack(own) - torch.stack(at_grid).mean(dim=0)).reshape(values.shape)

    def _expected(self, above: "_Above", others: Tensor, alphas: Tensor, targets: list[Target]) -> Tensor:
        """E[F | do(z_i = alphas_i)] of each neuron alone, (targets, neurons)."""
        size = max(1, ROWS_AT_ONCE // len(others))
        expected = _mean_of_background if self.expectation == "background" else _second_order
        neurons = torch.arange(len(alphas), device=alphas.device)
        return torch.cat([expected(above, others, alphas, own, targets) for own in neurons.split(size)], dim=1)


class _Above:
    """The logits as a function of one layer's output; `below` is any input."""

    def __init__(self, structure: NetworkStructure, name: str, shape: torch.Size, below: Tensor):
        self.structure, self.name, self.shape, self.below = structure, name, shape, below

    def __call__(self, flat: Tensor) -> Tensor:
        """Logits (rows, classes) of outputs (rows, neurons)."""
        values = flat.reshape(-1, *self.shape)
        if self.name == INPUT:
            return NetworkPass(self.structure).run(values)
        below = self.below.expand(len(values), *self.below.shape[1:])
        return _FromLayer(self.structure, self.name, values).run(below)


class _FromLayer(NetworkPass):
    """A pass that goes on with given outputs of a layer, which lies on all paths."""

    def __init__(self, structure: NetworkStructure, name: str, values: Tensor):
        super().__init__(structure)
        self.name, self.values = name, values

    def weighted(self, layer: Layer, values: Any) -> Any:
        return self.values if layer.name == self.name else super().weighted(layer, values)

    def pass_embedding(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        (layer,) = self.structure.layers_of_node[node]
        return self.values if layer.name == self.name else super().pass_embedding(node, arguments, keywords)

    def junction(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        (layer,) = self.structure.layers_of_node[node]
        return self.values if layer.name == self.name else super().junction(node, arguments, keywords)


def _has_effects(structure: NetworkStructure, layer: Layer) -> bool:
    return len(layer.neurons.index) == layer.width and structure.lies_on_all_paths(layer)


def _outputs(structure: NetworkStructure, inputs: Tensor, name: str) -> Tensor:
    """A layer's outputs, or the inputs, (samples, *output)."""
    if name == INPUT:
        return inputs.detach()
    network_pass = NetworkPass(structure)
    with torch.no_grad():
        network_pass.run(inputs.detach())
    return network_pass.recording.layers[name].output.detach()


def _mean_of_background(
    above: _Above, others: Tensor, alphas: Tensor, neurons: Tensor, targets: list[Target]
) -> Tensor:
    rows = others.repeat(len(neurons), 1).unflatten(0, (len(neurons), len(others)))
    rows[torch.arange(len(neurons)), :, neurons] = alphas[neurons].unsqueeze(1)
    with torch.no_grad():
        logits = above(rows.flatten(0, 1))
        scores = torch.stack([target.rows(len(logits)).score(logits) for target in targets])
    return scores.unflatten(1, (len(neurons), -1)).mean(dim=2)


def _second_order(above: _Above, others: Tensor, alphas: Tensor, neurons: Tensor, targets: list[Target]) -> Tensor:
    """`½ Tr(H Cov)` is the mean over the background of `½ vᵀHv`, v its difference from the means."""
    mean = others.mean(dim=0)
    place = torch.arange(len(neurons))
    about = mean.repeat(len(neurons), 1)
    about[place, neurons] = alphas[neurons]
    found = []
    for target in targets:
        with torch.enable_grad():
            leaf = leaf_of(about)
            scores = target.rows(len(neurons)).score(above(leaf))
            (gradient,) = torch.autograd.grad(scores.sum(), leaf, create_graph=True)
            curvature = torch.zeros_like(scores)
            for other in others:
                away = (other - mean).repeat(len(neurons), 1)
                away[place, neurons] = 0.0
                curvature = curvature + _quadratic_form(gradient, leaf, away)
        found.append((scores + curvature / (2 * len(others))).detach())
    return torch.stack(found)


def _quadratic_form(gradient: Tensor, about: Tensor, away: Tensor) -> Tensor:
    """`vᵀHv` of each row; zero where the gradient is constant."""
    if not gradient.requires_grad:
        return torch.zeros_like(about[:, 0])
    (product,) = torch.autograd.grad((gradient * away).sum(), about, retain_graph=True, allow_unused=True)
    return torch.zeros_like(about[:, 0]) if product is None else (product * away).sum(dim=1).detach()
