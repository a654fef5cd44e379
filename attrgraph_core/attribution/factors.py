"""What every attribution method gives of a batch: factors of each layer, from which neurons and edges follow."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from attrgraph_core.attribution.method import Method
from attrgraph_core.attribution.network_pass import LayerRecord, Recording
from attrgraph_core.attribution.structure import Layer, NetworkStructure
from attrgraph_core.attribution.target import Target
from attrgraph_core.attribution.term import Term, sums_by_sample


@dataclass(frozen=True, eq=False)
class LayerFactors:
    """A layer in a batch, rows first; a sample is one row or several that follow one another, and their sum.

    Its attribution is `values` (rows, *output), its output or the output's difference from the baseline, times
    `gradient` (rows, *output), or multiplier. `terms` make the edges of a layer with weights; `shares` (rows, *output)
    are those of a junction's operands, or of an embedding's features. `stabilised` (rows, width) is what an LRP rule's
    stabiliser kept of each neuron.
    """

    layer: Layer
    values: Tensor
    gradient: Tensor
    terms: tuple[Term, ...] = ()
    shares: tuple[Tensor, ...] = ()
    stabilised: Tensor | None = None

    @property
    def attribution(self) -> Tensor:
        """(rows, *output)"""
        return self.values * self.gradient

    @cached_property
    def by_neuron(self) -> Tensor:
        """Attributions of neurons, (rows, width)."""
        return self.layer.neurons.product_sum(self.values, self.gradient)


@dataclass(frozen=True, eq=False)
class Factors:
    """All layers in a batch.

    `input_attribution` (rows, *input) is None where the input's attribution is that of its edges: for tokens, and
    where nobody asked for each sample's own, which saves the gradient at the input. Then `input_total` (samples,) is
    the whole input's, or None for tokens. `explained` (samples,) is the score, or its difference from the baseline's;
    `absorbed` (samples,) is what constants kept of it, as far as the method knows.
    """

    layers: tuple[LayerFactors, ...]
    input_attribution: Tensor | None
    explained: Tensor
    absorbed: Tensor
    input_total: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """What is explained: `inputs` (samples, ...), the target of each, and the baselines (backgrounds, ...).

    Without `absolute` nobody asks what a single sample gives to an edge, or to a neuron of the input.
    """

    inputs: Tensor
    target: Target
    baselines: Tensor
    absolute: bool = True

    def needs_input_gradient(self, structure: NetworkStructure) -> bool:
        """Whether the input's attributions do not follow from sums of its edges."""
        return not structure.reads_tokens and (self.absolute or not structure.input_readers)


class AttributionMethod(Method):
    """A method that makes neurons and edges."""

    @abstractmethod
    def factors(self, structure: NetworkStructure, batch: Batch) -> Factors:
        """Factors of a batch. Leaves no trace in the network."""


def gradients_of(score: Tensor, inputs: Tensor, recording: Recording) -> dict[int, Tensor]:
    """Gradients of the summed score by the identity of: the input (if it asks for one), layers' outputs, operands,
    shifted outputs."""
    wanted = [inputs]
    for record in recording.layers.values():
        wanted.append(record.output)
        wanted += record.inputs if record.layer.operation == "junction" else ()
        wanted += [piece.output for piece in record.pieces]
    wanted += [shift.output for shift in recording.shifts]
    wanted = [tensor for tensor in {id(tensor): tensor for tensor in wanted}.values() if tensor.requires_grad]
    # A dead layer may cut the score off from what lies below: nothing flows, so its gradient is zero.
    found = torch.autograd.grad(score.sum(), wanted, allow_unused=True)
    return {
        id(tensor): torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(wanted, found, strict=True)
    }


def gradient_at(gradients: dict[int, Tensor], tensor: Tensor) -> Tensor:
    """The gradient at a recorded tensor; zeros at one that no gradient reaches."""
    found = gradients.get(id(tensor))
    return torch.zeros_like(tensor) if found is None else found


def layer_factors(record: LayerRecord, gradients: dict[int, Tensor]) -> LayerFactors:
    """Factors of one layer from a pass: differences from the reference where there is one, else the values."""
    layer, gradient = record.layer, gradient_at(gradients, record.output)
    output = record.output.detach()
    output = output if record.reference_output is None else output - record.reference_output
    references = record.reference_inputs or (None,) * len(record.inputs)
    sources = [
        values.detach() if reference is None else values.detach() - reference
        for values, reference in zip(record.inputs, references, strict=True)
    ]
    if layer.operation == "junction":
        shares = tuple(
            source * gradient_at(gradients, values) for source, values in zip(sources, record.inputs, strict=True)
        )
        return LayerFactors(layer, output, gradient, shares=shares)
    if layer.operation == "embedding":
        return LayerFactors(layer, output, gradient, shares=(output * gradient,))
    if record.pieces:
        targets = [gradient_at(gradients, piece.output) for piece in record.pieces]
        pairs = list(zip(record.pieces, targets, strict=True))
        terms = tuple(Term(piece.source, target, piece.weight) for piece, target in pairs)
        kept = [layer.neurons.product_sum(piece.stabiliser, target) for piece, target in pairs]
        return LayerFactors(layer, output, gradient, terms=terms, stabilised=torch.stack(kept).sum(dim=0))
    return LayerFactors(layer, output, gradient, terms=(Term(sources[0], gradient),))


def absorbed_by_shifts(
    recording: Recording, gradients: dict[int, Tensor], like: Tensor, readers: tuple[Layer, ...] | None = None
) -> Tensor:
    """What the constants of a pass, or those of some layers only, contribute to the score, of the shape of `like`
    (samples,)."""
    total = torch.zeros_like(like)
    for shift in recording.shifts:
        if readers is None or shift.layer in readers:
            total = total + _product_per_sample(shift.value, gradient_at(gradients, shift.output))
    return total


def input_total(
    structure: NetworkStructure, layers: tuple[LayerFactors, ...], explained: Tensor, absorbed: Tensor | float = 0.0
) -> Tensor:
    """What the input gets in all, (samples,): what its readers get, less what their own constants keep of it."""
    readers = {layer.name for layer in structure.input_readers}
    total = torch.zeros_like(explained)
    for own in layers:
        if own.layer.name in readers:
            total = total + sums_by_sample(own.by_neuron.sum(dim=1), len(own.gradient) // len(explained))
    return total - absorbed


def _product_per_sample(shift: Tensor, gradient: Tensor) -> Tensor:
    """The sum over a sample of shift times gradient, (rows,); a shift of few numbers meets sums of the gradient."""
    shape = [1] * (gradient.dim() - shift.dim()) + list(shift.shape)
    alike = [place for place in range(1, gradient.dim()) if shape[place] == 1 and gradient.shape[place] > 1]
    if alike:
        gradient = gradient.sum(dim=alike, keepdim=True)
    shift = shift.reshape(shape)
    # In the order of memory, so that flattening is no copy where channels are last.
    order = [0, *sorted(range(1, gradient.dim()), key=gradient.stride().__getitem__, reverse=True)]
    shift, gradient = shift.permute(order), gradient.permute(order)
    if shape[0] == 1:
        return gradient.flatten(1) @ shift.flatten()
    return (shift.reshape(len(gradient), 1, -1) @ gradient.reshape(len(gradient), -1, 1)).flatten()


def per_sample(tensor: Tensor) -> Tensor:
    """Sum over everything but the rows, (rows,)."""
    return tensor.flatten(1).sum(dim=1)
