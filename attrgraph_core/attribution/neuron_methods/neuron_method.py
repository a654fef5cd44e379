"""Methods that give neurons and no edges: of the input, or of every layer. Most are Captum's, on a tapped network."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attrgraph_core.attribution.contraction import embedding_edges
from attrgraph_core.attribution.factors import Batch
from attrgraph_core.attribution.method import Method, Obstacle
from attrgraph_core.attribution.network_pass import NetworkPass
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork
from attrgraph_core.attribution.structure import INPUT, Layer, NetworkStructure
from attrgraph_core.attribution.target import Target
from attrgraph_core.errors import AttrGraphError

ROWS_AT_ONCE = 1024
MOST_ROWS = 1 << 22  # of a batch; a small network takes minutes for them


@dataclass(frozen=True, eq=False)
class NeuronShares:
    """Neurons of a batch: by layer, in the order of the graph, attributions (samples, *output); the input is `input`.

    `explained` (samples,) is the score, or its difference from the mean of the baselines' scores.
    """

    attributions: dict[str, Tensor]
    explained: Tensor


class NeuronMethod(Method):
    """A method that makes neurons only; its graphs have no edges."""

    reads_tokens: bool = False
    """Whether it can attribute the input of a network that reads tokens."""

    @abstractmethod
    def shares(self, structure: NetworkStructure, batch: Batch) -> NeuronShares:
        """Attributions of a batch. Leaves no trace in the network."""

    def obstacles(self, structure: NetworkStructure) -> list[Obstacle]:
        if structure.reads_tokens and not self.reads_tokens:
            return [
                Obstacle(
                    "input", "is tokens, which have no gradient and no way from a baseline to them",
                    "take layer_integrated_gradients, which gives each token what its embedding gets",
                )
            ]  # fmt: skip
        return []


class InputMethod(NeuronMethod):
    """Neurons of the input, and the scores as neurons of the last layer."""

    @abstractmethod
    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        """Attributions (samples, *input), the mean over `baselines` (backgrounds, *input)."""

    def at_output(self, target: Target, logits: Tensor, references: Tensor) -> Tensor:
        """What each score has of the explained, (samples, classes): its difference, as DeepLIFT shares it."""
        with torch.enable_grad():
            leaf = logits.detach().clone().requires_grad_()

            def share(reference: Tensor) -> Tensor:
                scores, _ = target.rescaled(leaf, reference)
                (multiplier,) = torch.autograd.grad(scores.sum(), leaf)
                return (leaf.detach() - reference) * multiplier

            return mean_over(references, share)

    def shares(self, structure: NetworkStructure, batch: Batch) -> NeuronShares:
        logits, references, explained = scores_of(structure, batch, self.uses_baseline)
        network = TappedNetwork(structure, batch.target)
        attribution = self.at_input(network, leaf_of(batch.inputs), batch.baselines).detach()
        at_output = self.at_output(batch.target, logits, references)
        return NeuronShares({INPUT: attribution, structure.output_layer.name: at_output}, explained)


class LayerMethod(NeuronMethod):
    """Neurons of every layer; a token has the sum of its embedding's features."""

    reads_tokens = True

    @abstractmethod
    def at_layer(self, network: TappedNetwork, name: str, inputs: Tensor, baselines: Tensor) -> Tensor:
        """Attributions (samples, *output) of a layer, or of the input; the mean over `baselines`."""

    def shares(self, structure: NetworkStructure, batch: Batch) -> NeuronShares:
        explained = scores_of(structure, batch, self.uses_baseline)[2]
        network = TappedNetwork(structure, batch.target)
        names = structure.names[1:] if structure.reads_tokens else structure.names
        inputs = leaf_of(batch.inputs)
        found = {name: self.at_layer(network, name, inputs, batch.baselines).detach() for name in names}
        if structure.reads_tokens:
            found = {INPUT: _of_tokens(structure, found)} | found
        return NeuronShares(found, explained)


def leaf_of(inputs: Tensor) -> Tensor:
    """A copy to attribute, so that Captum changes nothing of the given tensor; it requires a gradient if it can."""
    inputs = inputs.detach().clone()
    return inputs.requires_grad_() if inputs.is_floating_point() else inputs


def mean_over(baselines: Tensor, attribute: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean of what `attribute` gives for each baseline (1, ...)."""
    parts = [attribute(baseline).detach() for baseline in baselines.split(1)]
    return parts[0] if len(parts) == 1 else torch.stack(parts).mean(dim=0)


def scores_of(structure: NetworkStructure, batch: Batch, is_relative: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (samples, classes), those of the baselines (zeros without any), and what is explained (samples,).

    Raises AttrGraphError for scores that are not finite, before any method meets them.
    """
    with torch.no_grad():
        logits = NetworkPass(structure).run(batch.inputs.detach())
        score = batch.target.score(logits)
        if not bool(torch.isfinite(score).all()):
            raise AttrGraphError("the network's scores are not finite; its weights may have diverged")
        if not is_relative:
            return logits, torch.zeros_like(logits[:1]), score
        references = NetworkPass(structure).run(batch.baselines)
        if not bool(torch.isfinite(references).all()):
            raise AttrGraphError(
                "the network's scores of the baseline are not finite (is it padding alone?); name another baseline"
            )
        lower = [batch.target.score(reference.expand_as(logits)) for reference in references.split(1)]
        return logits, references, score - torch.stack(lower).mean(dim=0)


def refuse_endless(name: str, rows: int, way_out: str) -> None:
    """Raise AttrGraphError for more rows through the network than anybody waits for."""
    if rows > MOST_ROWS:
        raise AttrGraphError(
            f"{name} of these samples sends {rows:,} inputs through the network, more than {MOST_ROWS:,}; {way_out}"
        )


def _of_tokens(structure: NetworkStructure, found: dict[str, Tensor]) -> Tensor:
    """What the embeddings of each token get, (samples, tokens)."""
    total: Tensor | None = None
    for layer in structure.layers:
        if layer.operation == "embedding":
            share = _of_embedded(layer, found[layer.name], structure.input_map.width)
            total = share if total is None else total + share
    assert total is not None
    return total


def _of_embedded(layer: Layer, attribution: Tensor, width: int) -> Tensor:
    by_token = embedding_edges(layer, attribution).sum(dim=1)
    tokens = layer.sources.neurons[0].to(by_token.device)
    return by_token.new_zeros(len(by_token), width).index_add_(1, tokens, by_token)
