"""Saliency (Simonyan et al., 2014): the gradient of the score by the input.

A sensitivity and not a share: it adds up to nothing. `abs_attribution` is the mean of its absolute value, the saliency
of the paper. Captum: `Saliency`.
"""

import torch
from captum import attr
from torch import Tensor

from attrgraph_core.attribution.neuron_methods.neuron_method import InputMethod
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows
from attrgraph_core.attribution.target import Target


class Saliency(InputMethod):
    name = "saliency"
    uses_baseline = False

    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        return attr.Saliency(network).attribute(inputs, abs=False, additional_forward_args=sample_rows(inputs))

    def at_output(self, target: Target, logits: Tensor, references: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = logits.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(target.score(leaf).sum(), leaf)
        return gradient
