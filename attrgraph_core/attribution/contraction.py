"""All edges of a layer by one contraction.

A layer computes `z_j = sum_i W_ji a_i + b_j`. Every method gives each sample a source factor `s_i` (one a source,
`a` or `a - a'`) and a target factor `t_j` (one a target neuron, a gradient or a multiplier), and the edge i -> j is

    weight_ji = W_ji * sum_samples s_i t_j

For a linear layer the sum over samples is one matrix product. For a convolution it is the gradient of the kernel,
so the edge from channel i to channel j is the sum over kernel taps of `W * dF/dW` with `t` in the place of the
output's gradient. Design, section 3.
"""

import torch
from torch import Tensor, nn


def contract_edges(layer: nn.Module, source_factor: Tensor, target_factor: Tensor) -> Tensor:
    """Signed edges of `layer`, shape (targets, sources), summed over samples and positions.

    `source_factor` has the shape of the layer's input, `target_factor` that of its output.
    Raises TypeError for a layer that is neither `nn.Linear` nor `nn.Conv2d`.
    """
    if isinstance(layer, nn.Linear):
        return layer.weight.detach() * (
            target_factor.reshape(-1, layer.out_features).T @ source_factor.reshape(-1, layer.in_features)
        )
    if isinstance(layer, nn.Conv2d):
        if layer.groups != 1 or layer.padding_mode != "zeros":
            raise TypeError(f"only Conv2d with groups=1 and zero padding has edges here, not {layer}")
        kernel_gradient = torch.nn.grad.conv2d_weight(
            source_factor, layer.weight.shape, target_factor, layer.stride, layer.padding, layer.dilation
        )
        return (layer.weight.detach() * kernel_gradient).sum(dim=(2, 3))
    raise TypeError(f"no edges are defined through a {type(layer).__name__}; known are Linear and Conv2d")
