"""What the neurons of a network put out, and the derivative of a score with respect to it, sample by sample."""

from collections.abc import Callable, Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.targeting.target_neurons import Layer, targetable_layers


def signed_contributions(
    model: nn.Module, inputs: Tensor, score: Callable[[Tensor, slice], Tensor], batch_size: int = 512
) -> dict[str, Tensor]:
    """By layer `Σ_positions a ∂F/∂a` of each sample and neuron, (samples, neurons); zeros of a layer not called.

    `a` is the output of a linear layer or convolution; below a ReLU its product with the derivative is that of the
    ReLU's own output. `score(class scores, rows)` gives F summed over the samples of a batch. Modes and gradients of
    the model are as before.
    """
    layers = targetable_layers(model)
    device = next(model.parameters()).device
    parts: dict[str, list[Tensor]] = {name: [] for name in layers}
    for start in range(0, len(inputs), batch_size):
        batch = inputs[start : start + batch_size].to(device)
        for name, part in _of_batch(model, layers, batch, start, score).items():
            parts[name].append(part)
    return {
        name: torch.cat(found) if found else torch.zeros(0, len(layers[name].weight), dtype=torch.float64)
        for name, found in parts.items()
    }


def _of_batch(
    model: nn.Module, layers: Mapping[str, Layer], batch: Tensor, start: int, score: Callable[[Tensor, slice], Tensor]
) -> dict[str, Tensor]:
    calls: list[tuple[str, Tensor]] = []

    def tap(name: str) -> Callable[[nn.Module, object, Tensor], Tensor]:
        def hook(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
            # A leaf's own history is not wanted below frozen layers, but its gradient is.
            output = output if output.requires_grad else output.detach().requires_grad_()
            calls.append((name, output))
            return output.clone()  # what works in place afterwards leaves this one as it is

        return hook

    hooks = [layer.register_forward_hook(tap(name)) for name, layer in layers.items()]
    try:
        with evaluation_mode(model), torch.enable_grad():
            total = score(model(batch), slice(start, start + len(batch)))
            gradients = torch.autograd.grad(total, [output for _, output in calls], allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
    found = {name: torch.zeros(len(batch), len(layer.weight), dtype=torch.float64) for name, layer in layers.items()}
    for (name, output), gradient in zip(calls, gradients, strict=True):
        if gradient is not None:
            product = (output * gradient).detach().cpu()
            last = isinstance(layers[name], nn.Linear)
            product = product.movedim(-1, 1) if last else product
            found[name] += product.flatten(2).sum(2) if product.dim() > 2 else product
    return found


def table_of(name: str, by_layer: dict[str, Tensor]) -> pd.DataFrame:
    """A row a neuron: layer, index, and a column `name`."""
    return pd.concat(
        [
            pd.DataFrame({"layer": layer, "index": range(len(values)), name: values.double().numpy()})
            for layer, values in by_layer.items()
        ],
        ignore_index=True,
    )
