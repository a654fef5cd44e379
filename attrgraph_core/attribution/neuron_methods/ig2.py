"""IG2 (Zhuo & Ge, 2024): integrated gradients on a way that the network itself finds towards a reference.

From the input the way goes down the gradient of `‖r(x) - r(x')‖²`, where r is what the last layer reads and x' the
reference (the baseline), in steps of one length: `x^{k+1} = x^k - η ∇/‖∇‖` (eq. 4 of the paper). A feature gets
`Σ_k (x^k_i - x^{k+1}_i) ∂F/∂x_i` (eq. 3), here with the mean of the gradients at both ends of a step. It adds up to
the score less that of the way's end, the counterfactual, which need not be the reference.
"""

import torch
from torch import Tensor

from attrgraph_core.attribution.factors import Batch
from attrgraph_core.attribution.network_pass import NetworkPass
from attrgraph_core.attribution.neuron_methods.integrated_gradients import check_steps
from attrgraph_core.attribution.neuron_methods.neuron_method import InputMethod, NeuronShares, leaf_of, scores_of
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows
from attrgraph_core.attribution.structure import INPUT, NetworkStructure
from attrgraph_core.errors import AttrGraphError

STEPS = 50


class IterativePath(InputMethod):
    """`steps` of the way; their length η is `reach / steps` of the distance from the input to the reference."""

    name = "ig2"
    uses_baseline = True
    largest_gap = 0.1
    when_incomplete = "more steps make the error smaller: method=IterativePath(steps=200)"

    def __init__(self, steps: int = STEPS, reach: float = 1.0):
        check_steps(steps)
        if not 0 < reach < float("inf"):
            raise AttrGraphError(f"the way's length is a positive multiple of the distance, not {reach}")
        self.steps, self.reach = steps, reach

    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        ways = [self.way(network.structure, inputs.detach(), baseline) for baseline in baselines.split(1)]
        return torch.stack([_along(network, way) for way in ways]).mean(dim=0)

    def shares(self, structure: NetworkStructure, batch: Batch) -> NeuronShares:
        """As of every input method, with the ends of the ways in the place of the baselines."""
        network = TappedNetwork(structure, batch.target)
        rows = sample_rows(batch.inputs)
        attributions, outputs, ends = [], [], []
        logits = scores_of(structure, batch, False)[0]
        for baseline in batch.baselines.split(1):
            way = self.way(structure, batch.inputs.detach(), baseline)
            attributions.append(_along(network, way))
            with torch.no_grad():
                reached = NetworkPass(structure).run(way[-1])
                ends.append(network(way[-1], *rows))
            outputs.append(self.at_output_of(batch, logits, reached))
        explained = batch.target.score(logits) - torch.stack(ends).mean(dim=0)
        return NeuronShares(
            {INPUT: torch.stack(attributions).mean(dim=0), structure.output_layer.name: torch.stack(outputs).mean(0)},
            explained,
        )

    def at_output_of(self, batch: Batch, logits: Tensor, reached: Tensor) -> Tensor:
        """Shares of the scores between those of the input and of the way's end, sample by sample."""
        leaf = leaf_of(logits)
        with torch.enable_grad():
            scores, _ = batch.target.rescaled(leaf, reached)
            (multiplier,) = torch.autograd.grad(scores.sum(), leaf)
        return (logits - reached) * multiplier

    def way(self, structure: NetworkStructure, inputs: Tensor, reference: Tensor) -> Tensor:
        """The points from the inputs on, (steps + 1, samples, *input)."""
        with torch.no_grad():
            wanted = _representation(structure, reference)
        length = (inputs - reference).flatten(1).norm(dim=1) * self.reach / self.steps
        points = [inputs]
        for _ in range(self.steps):
            with torch.enable_grad():
                place = leaf_of(points[-1])
                distance = (_representation(structure, place) - wanted).square().sum()
                (gradient,) = torch.autograd.grad(distance, place)
            norm = gradient.flatten(1).norm(dim=1)
            # Where the representation is reached, or flat, the way ends.
            scale = torch.where(norm > 0, length / norm.where(norm > 0, 1.0), 0.0)
            points.append(points[-1] - gradient * scale.reshape(-1, *[1] * (inputs.dim() - 1)))
        return torch.stack(points)


def _representation(structure: NetworkStructure, inputs: Tensor) -> Tensor:
    """What the last layer reads, (samples, elements)."""
    network_pass = NetworkPass(structure)
    network_pass.run(inputs)
    return network_pass.recording.layers[structure.output_layer.name].inputs[0].flatten(1)


def _along(network: TappedNetwork, way: Tensor) -> Tensor:
    """What the gradients along a way (points, samples, *input) give each element, (samples, *input)."""
    gradients = []
    for points in way:
        with torch.enable_grad():
            place = leaf_of(points)
            (gradient,) = torch.autograd.grad(network(place, *sample_rows(place)).sum(), place)
        gradients.append(gradient)
    by_point = torch.stack(gradients)
    return ((way[:-1] - way[1:]) * (by_point[:-1] + by_point[1:]) / 2).sum(dim=0)
