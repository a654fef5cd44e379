"""How strongly the loss pulls at each neuron: the size of the gradient of its incoming weights and bias."""

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.target_neurons import targetable_layers
from attrgraph_core.training.reproducibility import seeded


def gradient_norms(model: nn.Module, inputs: Tensor, labels: Tensor, *, batch_size: int = 512) -> pd.DataFrame:
    """A row a neuron of every linear layer and convolution: layer, index, gradient_norm.

    `gradient_norm` is the L2 norm of the gradient of the mean cross entropy of `inputs` (samples, ...) and `labels`
    (samples,) with respect to the neuron's incoming weights and bias, in evaluation mode, frozen parameters included.
    Leaves gradients, modes, running statistics and random state as they were.
    Raises AttrGraphError for a network without such layers, and for no samples.
    """
    layers = targetable_layers(model)
    if not layers or not len(inputs):
        raise AttrGraphError(
            f"gradient norms need layers with neurons and samples, not {len(layers)} and {len(inputs)}"
        )
    # Leaves of our own: the model's parameters keep their gradients and flags.
    parameters = {name: parameter.detach().requires_grad_() for name, parameter in model.named_parameters()}
    device = next(iter(parameters.values())).device
    totals = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    with evaluation_mode(model), seeded(0, device), torch.enable_grad():
        for batch, batch_labels in zip(inputs.split(batch_size), labels.split(batch_size), strict=True):
            scores = functional_call(model, parameters, (batch.to(device),))
            loss = functional.cross_entropy(scores, batch_labels.to(device), reduction="sum") / len(inputs)
            gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            for name, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    totals[name] += gradient
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    tables = []
    for layer_name, layer in layers.items():
        squares = torch.zeros(len(layer.weight), dtype=torch.float64)
        for parameter in (layer.weight, layer.bias):
            if parameter is not None:
                gradient = totals[names[id(parameter)]].detach().cpu().double()
                squares += gradient.reshape(len(gradient), -1).square().sum(dim=1)
        tables.append(
            pd.DataFrame({"layer": layer_name, "index": range(len(squares)), "gradient_norm": squares.sqrt().numpy()})
        )
    return pd.concat(tables, ignore_index=True)
