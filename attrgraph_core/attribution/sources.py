"""Which neurons the elements of a tensor stand for: of what a layer puts out, and of what it reads."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

Spatial = (
    nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class NeuronMap:
    """The neuron, from 0 to `width` - 1, that each element of one sample's tensor stands for.

    `index` (elements,) is in the order of the tensor's elements. `dimension`, where it is known, is the one whose
    places are the neurons, all others being positions; sums over positions are then ordinary ones.
    """

    width: int
    index: Tensor
    dimension: int | None = None

    @classmethod
    def of_elements(cls, shape: torch.Size) -> "NeuronMap":
        """Each element is a neuron."""
        return cls(shape.numel(), torch.arange(shape.numel()), 0 if len(shape) == 1 else None)

    @classmethod
    def of_dimension(cls, shape: torch.Size | tuple[int, ...], dimension: int) -> "NeuronMap":
        """Each place of one dimension is a neuron."""
        return cls.of_groups(shape, dimension, shape[dimension])

    @classmethod
    def of_groups(cls, shape: torch.Size | tuple[int, ...], dimension: int, count: int) -> "NeuronMap":
        """The places of one dimension fall into `count` neurons of neighbours."""
        place = torch.arange(count).repeat_interleave(shape[dimension] // count)
        ones = [1] * len(shape)
        ones[dimension] = shape[dimension]
        index = place.reshape(ones).expand(*shape).reshape(-1)
        return cls(count, index, dimension if count == shape[dimension] else None)

    @classmethod
    def of_index(cls, shape: torch.Size, index: Tensor, width: int) -> "NeuronMap":
        """Given element by element; a dimension is found where there is one."""
        index = index.reshape(-1).cpu()
        for dimension in range(len(shape)):
            if shape[dimension] == width and torch.equal(cls.of_dimension(shape, dimension).index, index):
                return cls(width, index, dimension)
        return cls(width, index)

    def sum(self, values: Tensor) -> Tensor:
        """Sums of `values` (samples, ...) by neuron, (samples, width)."""
        if self.dimension is not None:
            positions = [place + 1 for place in range(values.dim() - 1) if place != self.dimension]
            return values.sum(dim=positions) if positions else values
        flat = values.flatten(1)
        if flat.shape[1] == self.width:  # each element a neuron
            return flat
        return flat.new_zeros(len(flat), self.width).index_add_(1, self.index.to(flat.device), flat)

    def product_sum(self, values: Tensor, factors: Tensor) -> Tensor:
        """Sums of `values` times `factors`, each (samples, ...), by neuron, (samples, width)."""
        is_in_order = values.is_contiguous() and factors.is_contiguous()
        if self.dimension != 0 or values.dim() < 3 or not is_in_order:
            return self.sum(values * factors)
        # A product of vectors a channel: no tensor of products.
        return (values.flatten(2).unsqueeze(2) @ factors.flatten(2).unsqueeze(3)).flatten(1)


@dataclass(frozen=True, eq=False)
class Sources:
    """The neurons that a layer reads, and where its edges are found among its weights.

    `neurons` (targets or 1, edges a target) are neurons of the whole network by number, -1 where there is no edge.
    `columns` maps what the weights read, one after another, to these edges (-1: a constant): the features of a linear
    layer, one row a pattern of positions; the channels of a convolution within a group; or, `by_element`, the
    elements of a convolution's input. `mask` is False where what is read is constant.
    """

    neurons: Tensor
    columns: Tensor
    patterns: Tensor | None = None
    by_element: bool = False
    mask: Tensor | None = None

    @classmethod
    def of_junction(cls, neurons: Tensor) -> "Sources":
        """An edge an operand; `neurons` (targets, operands)."""
        return cls(neurons, torch.arange(neurons.shape[1]))

    @property
    def is_element_wise(self) -> bool:
        """Whether positions read other neurons each, and every one is read once."""
        if self.patterns is None or len(self.columns) != len(self.patterns):
            return False
        known = self.columns[self.columns >= 0]
        return len(known) == self.neurons.shape[1]

    @property
    def is_plain(self) -> bool:
        """Whether every column is a neuron of its own, in order, at every position."""
        return self.patterns is None and _is_in_order(self.columns.reshape(-1))

    def group(self, edges: Tensor) -> Tensor:
        """Sums of the columns of each neuron; (..., columns of the weight) to (..., edges a target)."""
        return sum_columns(edges, self.columns, self.neurons.shape[1])


def linear_sources(ids: Tensor) -> Sources:
    """Sources of a linear layer that reads neurons `ids` (..., features), -1 for constants."""
    rows = ids.reshape(-1, ids.shape[-1]).cpu().long()
    known = rows >= 0
    mask = None if bool(known.all()) else known.reshape(ids.shape)
    # A feature that is constant at some positions and one neuron at all others is that neuron.
    rows = torch.where(known, rows, rows.max(dim=0).values)
    patterns, inverse = torch.unique(rows, dim=0, return_inverse=True)
    neurons = torch.unique(patterns[patterns >= 0])
    columns = _places(neurons, patterns)
    if len(patterns) == 1:
        return Sources(neurons.unsqueeze(0), columns[0], mask=mask)
    return Sources(neurons.unsqueeze(0), columns, patterns=inverse, mask=mask)


def spatial_sources(ids: Tensor, module: Spatial) -> Sources:
    """Sources of a convolution that reads neurons `ids` (channels, ...), -1 for constants."""
    channels = ids.flatten(1).cpu().long()
    known = channels >= 0
    mask = None if bool(known.all()) else known.reshape(ids.shape)
    largest = channels.max(dim=1).values
    if bool(((channels == largest.unsqueeze(1)) | ~known).all()):
        neurons = torch.unique(largest[largest >= 0])
        columns = _places(neurons, largest)
        if module.groups > 1 and len(neurons) == len(largest):
            by_group = largest.reshape(module.groups, -1)
            per_target = by_group.repeat_interleave(module.out_channels // module.groups, dim=0)
            return Sources(per_target, torch.arange(by_group.shape[1]), mask=mask)
        return Sources(neurons.unsqueeze(0), columns, mask=mask)
    padded = _padded_ids(ids, module)
    flat = padded.reshape(-1).cpu().long()
    neurons = torch.unique(flat[flat >= 0])
    return Sources(neurons.unsqueeze(0), _places(neurons, flat), by_element=True, mask=mask)


def sum_columns(edges: Tensor, columns: Tensor, width: int) -> Tensor:
    """Sums of the columns of each neuron; columns of -1 are constants and go."""
    if len(columns) == width and _is_in_order(columns):
        return edges
    columns = columns.to(edges.device)
    known = columns >= 0
    grouped = edges.new_zeros(*edges.shape[:-1], width)
    return grouped.index_add_(edges.dim() - 1, columns[known], edges[..., known])


def _is_in_order(columns: Tensor) -> bool:
    """Whether every column is a neuron of its own, in order."""
    return torch.equal(columns, torch.arange(len(columns)))


def pads_by_values(module: nn.Module) -> bool:
    """Whether a convolution pads its input by values of the input."""
    return getattr(module, "padding_mode", "zeros") != "zeros"


def pad_by_values(values: Tensor, module: nn.Module) -> Tensor:
    """The input of a convolution as its padding mode pads it, (samples, channels, ...); as it is for zeros."""
    if not pads_by_values(module):
        return values
    return nn.functional.pad(values, module._reversed_padding_repeated_twice, mode=module.padding_mode)  # type: ignore[arg-type]


def _padded_ids(ids: Tensor, module: nn.Module) -> Tensor:
    return pad_by_values(ids.unsqueeze(0), module)[0]


def _places(neurons: Tensor, ids: Tensor) -> Tensor:
    """Places of `ids` among the sorted `neurons`, -1 for constants."""
    if not len(neurons):
        return torch.full_like(ids, -1)
    return torch.where(ids >= 0, torch.searchsorted(neurons, ids.clamp_min(0)), -1)
