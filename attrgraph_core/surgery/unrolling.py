"""Unrolling: of inputs of one size a convolution is a linear layer, whose neurons are positions and not channels.

Its weight (outputs, inputs) has each tap once a position and zeros elsewhere, a Toeplitz matrix by blocks. It is read
off: images with a single 1 are sent through the convolution, as they are through averages. The largest of a window is
`a + relu(b - a)`, pair by pair. The unrolled network computes the same, and whatever is done with linear layers
(graphs, blame, ablation and its undoing, training of chosen entries) is then done with single positions.
"""

import copy
from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.operations import ADAPTIVE_MAX_POOLS, MAX_POOLS
from attrgraph_core.errors import AttrGraphError

AVERAGES = (
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
)  # fmt: skip
LARGEST = (*MAX_POOLS, *ADAPTIVE_MAX_POOLS)
MOST_BYTES = 1 << 30
IMAGES_AT_ONCE = 256


def unroll(model: nn.Module, inputs: Tensor, *, most_bytes: int = MOST_BYTES) -> nn.Module:
    """A copy of `model` that computes the same of inputs of the shape of `inputs` (samples, ...), position by position.

    A convolution `conv1` becomes a linear layer `conv1.positions`; its neuron `(channel * rows + row) * columns +
    column` has weights and a bias of its own. What lies outside the kernel's reach is no edge, is zero, and gets a
    gradient of zero, so that no training of the whole weight fills it (a `copy.deepcopy` loses that guard: unroll again
    and load the state dict). A pool becomes sums with fixed weights, or maxima of pairs.

    The weights are dense, inputs times outputs of each layer. Raises AttrGraphError, before any is made, where they
    would take more than `most_bytes`; and for a network without a convolution, or where something else than these
    modules mixes positions, or one of them is called twice.
    """
    found = _seen(model, inputs[:1])
    if not any(isinstance(model.get_submodule(name), _ConvNd) for name in found):
        raise AttrGraphError(f"{type(model).__name__} has no convolution that could be unrolled")
    _refuse_too_large(found, most_bytes)
    unrolled = copy.deepcopy(model)
    for name, (taken, given) in found.items():
        unrolled.set_submodule(name, _by_positions(model.get_submodule(name), taken.shape[1:], given[0]))
    try:
        with evaluation_mode(unrolled):
            network_structure(unrolled, inputs)
    except AttrGraphError as error:
        raise AttrGraphError(f"{error}. Pools of positions must be modules, as nn.MaxPool2d is") from error
    return unrolled


def _seen(model: nn.Module, sample: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """By name, what each module that is to be unrolled reads and puts out of one sample."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def see(name: str, module: nn.Module, taken: tuple[Tensor, ...], given: Tensor) -> None:
        if name in found:
            raise AttrGraphError(f"{name!r} is called more than once; give each place a module of its own")
        if not isinstance(given, Tensor):
            raise AttrGraphError(f"{name!r} returns indices; let it return its values only")
        found[name] = taken[0], given

    handles = [
        module.register_forward_hook(partial(see, name))
        for name, module in model.named_modules()
        if isinstance(module, (_ConvNd, *AVERAGES, *LARGEST))
    ]
    try:
        with evaluation_mode(model), torch.no_grad():
            model(sample)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _refuse_too_large(found: dict[str, tuple[Tensor, Tensor]], most_bytes: int) -> None:
    sizes = {name: taken.numel() * given.numel() * given.element_size() for name, (taken, given) in found.items()}
    if (total := sum(sizes.values())) > most_bytes:
        largest = max(sizes, key=lambda name: sizes[name])
        raise AttrGraphError(
            f"unrolled, the network takes {total / 2**20:.3g} MiB, {sizes[largest] / 2**20:.3g} of them for "
            f"{largest!r}; {most_bytes / 2**20:.3g} are allowed (most_bytes). Use smaller inputs, or edges of channels"
        )


def _by_positions(module: nn.Module, taken: torch.Size, given: Tensor) -> nn.Module:
    """What computes the same as `module` of an input of shape `taken`, a neuron an element of its output `given`."""
    if isinstance(module, LARGEST):
        return LargestOfPositions(_response(module, taken) > 0, given.shape).to(given.device)
    linear = _unrolled(module, taken, given) if isinstance(module, _ConvNd) else _fixed(module, taken, given)
    return nn.Sequential(
        OrderedDict(flatten=nn.Flatten(), positions=linear, unflatten=nn.Unflatten(1, tuple(given.shape)))
    )


def _unrolled(module: _ConvNd, taken: torch.Size, given: Tensor) -> nn.Linear:
    """A convolution's linear layer."""
    bare = copy.deepcopy(module).cpu()
    bare.bias = None
    weight = _response(bare, taken).to(given)
    is_there = (_response(_of_ones(bare), taken) != 0).to(given.device)
    bias = given.new_zeros(len(given)) if module.bias is None else module.bias.detach()
    linear = nn.Linear(taken.numel(), given.numel(), device="meta")
    linear.weight = nn.Parameter(weight.where(is_there, 0.0))
    linear.bias = nn.Parameter(bias.repeat_interleave(given[0].numel()))
    linear.register_buffer("is_there", is_there, persistent=False)
    linear.weight.register_hook(lambda gradient: gradient.where(linear.get_buffer("is_there"), 0.0))
    return linear.requires_grad_(module.weight.requires_grad)


def _of_ones(module: _ConvNd) -> _ConvNd:
    ones = copy.deepcopy(module)
    nn.init.ones_(ones.weight)
    return ones


def _fixed(module: nn.Module, taken: torch.Size, given: Tensor) -> nn.Linear:
    """An average's linear layer: its weight is no parameter, so there is nothing to train or to remove."""
    linear = nn.Linear(taken.numel(), given.numel(), bias=False, device="meta")
    del linear.weight
    linear.register_buffer("weight", _response(module, taken).to(given), persistent=False)
    return linear


@torch.no_grad()
def _response(module: nn.Module, taken: torch.Size) -> Tensor:
    """What each output of `module` makes of each input element alone, (outputs, inputs); float64, on the CPU."""
    exact = copy.deepcopy(module).double()
    images = torch.eye(taken.numel(), dtype=torch.float64).split(IMAGES_AT_ONCE)
    return torch.cat([exact(image.unflatten(1, taken)).flatten(1) for image in images]).t().contiguous()


class LargestOfPositions(nn.Module):
    """The largest of each window's positions, by differences and sums of pairs, which have neurons of their own.

    `members` (outputs, inputs) says which positions each window has, `shape` is that of one output.
    """

    def __init__(self, members: Tensor, shape: torch.Size) -> None:
        super().__init__()
        self.shape = tuple(shape)
        sizes = members.sum(dim=1)
        self.sizes = sizes.unique().tolist()  # windows at the border may be smaller
        outputs = [(sizes == size).nonzero().squeeze(1) for size in self.sizes]
        for size, own in zip(self.sizes, outputs, strict=True):
            places = members[own].nonzero()[:, 1].reshape(-1, size).t().contiguous()  # (positions, outputs)
            self.register_buffer(f"windows_of_{size}", places, persistent=False)
        self.register_buffer("order", torch.cat(outputs).argsort(), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        flat = values.flatten(1)
        found = [_largest(flat[:, self.get_buffer(f"windows_of_{size}")], size) for size in self.sizes]
        return torch.cat(found, dim=1)[:, self.get_buffer("order")].unflatten(1, self.shape)


def _largest(values: Tensor, size: int) -> Tensor:
    """The largest along the second dimension, which has `size` places."""
    while size > 1:
        half = size // 2
        first, second = values[:, :half], values[:, half : 2 * half]
        joined = first + torch.relu(second - first)
        values = torch.cat([joined, values[:, 2 * half :]], dim=1) if size % 2 else joined
        size -= half
    return values[:, 0]
