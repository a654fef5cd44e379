"""All edges of a layer by one contraction.

A layer computes `z_j = Σ_i W_ji a_i + b_j`. Every method gives each sample a source factor `s_i` (an activation, or its
difference from a baseline) and a target factor `t_j` (a gradient or a multiplier), and the edge from i to j of that
sample is `W_ji s_i t_j`. Design, section 3.

For a linear layer both sums over samples factorise: `W ⊙ tᵀs` and, of absolute values, `|W| ⊙ |t|ᵀ|s|`. Where a neuron
covers several positions (a channel), its edge is the sum over positions and kernel taps, and only the signed sum
factorises; so those edges are made sample by sample.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

ELEMENTS_AT_ONCE = 1 << 24  # of the largest tensor of a chunk: 64 MiB in float32


def contract_edges(
    layer: nn.Linear | nn.Conv2d, source: Tensor, target: Tensor, source_width: int
) -> tuple[Tensor, Tensor]:
    """Edges of `layer` and their absolute values, each (targets, sources), summed over samples.

    `source` has the shape of the layer's input, `target` that of its output, samples first. `source_width` is the
    number of source neurons: the layer's inputs fall into that many groups, in order (a linear layer after a flatten
    reads a channel's positions as neighbours). A convolution's sources are its input channels, or each of the
    `channels x height x width` elements of its input.
    """
    if isinstance(layer, nn.Linear) and source_width == layer.in_features:
        return _unit_edges(layer, source, target)
    first = source[:1], target[:1]
    cost = max(1, _elements_per_sample(layer, *first, source_width))
    size = max(1, ELEMENTS_AT_ONCE // cost)
    signed = absolute = torch.zeros(target.shape[1], source_width, dtype=source.dtype, device=source.device)
    for source_chunk, target_chunk in zip(source.split(size), target.split(size), strict=True):
        edges = edges_per_sample(layer, source_chunk, target_chunk, source_width)
        signed = signed + edges.sum(dim=0)
        absolute = absolute + edges.abs().sum(dim=0)
    return signed, absolute


def edges_per_sample(layer: nn.Linear | nn.Conv2d, source: Tensor, target: Tensor, source_width: int) -> Tensor:
    """Edges of each sample, shape (samples, targets, sources); for the arguments see `contract_edges`."""
    if isinstance(layer, nn.Linear):
        return _grouped_linear_edges(layer, source, target, source_width)
    if source_width == layer.in_channels:
        return _channel_edges(layer, source, target)
    return _element_edges(layer, source, target)


def _unit_edges(layer: nn.Linear, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    weight = layer.weight.detach()
    source = source.reshape(-1, layer.in_features)
    target = target.reshape(-1, layer.out_features)
    return weight * (target.T @ source), weight.abs() * (target.abs().T @ source.abs())


def _grouped_linear_edges(layer: nn.Linear, source: Tensor, target: Tensor, source_width: int) -> Tensor:
    weight = layer.weight.detach().unflatten(1, (source_width, -1))
    into_target = torch.einsum("jcp,ncp->njc", weight, source.unflatten(1, (source_width, -1)))
    return into_target * target.unsqueeze(2)


def _channel_edges(layer: nn.Conv2d, source: Tensor, target: Tensor) -> Tensor:
    """Channel to channel: the sample's kernel gradient times the kernel, summed over taps."""
    groups, samples = layer.groups, source.shape[0]
    patches = functional.unfold(_padded(layer, source), layer.kernel_size, layer.dilation, 0, layer.stride)
    patches = patches.reshape(samples, groups, -1, patches.shape[-1])
    gradient = torch.einsum("ngol,ngkl->ngok", target.reshape(samples, groups, -1, patches.shape[-1]), patches)
    kernel = layer.weight.detach().reshape(groups, layer.out_channels // groups, -1)
    taps = layer.weight[0, 0].numel()
    edges = (gradient * kernel).unflatten(-1, (-1, taps)).sum(dim=-1)
    if groups == 1:
        return edges[:, 0]
    # Channels of different groups are not joined: the dense matrix is block-diagonal.
    return torch.stack([torch.block_diag(*sample) for sample in edges])


def _element_edges(layer: nn.Conv2d, source: Tensor, target: Tensor) -> Tensor:
    """Input element to channel: the element times what each channel's target factor sends back to it."""
    samples, channels = target.shape[:2]
    alone = torch.zeros(samples, channels, *target.shape[1:], dtype=target.dtype, device=target.device)
    diagonal = torch.arange(channels, device=target.device)
    alone[:, diagonal, diagonal] = target
    zeros = torch.zeros(
        samples * channels, *source.shape[1:], dtype=source.dtype, device=source.device, requires_grad=True
    )
    with torch.enable_grad():
        output = functional.conv2d(
            _padded(layer, zeros), layer.weight.detach(), None, layer.stride, 0, layer.dilation, layer.groups
        )
        (sent_back,) = torch.autograd.grad(output, zeros, alone.flatten(0, 1))
    return sent_back.reshape(samples, channels, -1) * source.flatten(1).unsqueeze(1)


def _padded(layer: nn.Conv2d, source: Tensor) -> Tensor:
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(source, layer._reversed_padding_repeated_twice, mode=mode)


def _elements_per_sample(layer: nn.Linear | nn.Conv2d, source: Tensor, target: Tensor, source_width: int) -> int:
    if isinstance(layer, nn.Linear):
        return layer.out_features * source_width
    if source_width == layer.in_channels:
        return layer.in_channels * layer.weight[0, 0].numel() * (target[0, 0].numel() + layer.out_channels)
    return layer.out_channels * max(source[0].numel(), target[0].numel())
