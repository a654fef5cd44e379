"""The empirical Fisher information of a neuron's incoming weights: the trace of its diagonal block.

With the labels of the data, not with labels drawn from the model (Kunstner et al., NeurIPS 2019, on the difference).
"""

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.scores.layer_outputs import table_of
from attrgraph_core.targeting.target_neurons import targetable_layers


def fisher(model: nn.Module, inputs: Tensor, labels: Tensor, *, samples_at_once: int = 64) -> pd.DataFrame:
    """A row a neuron: layer, index, fisher, the mean over samples of `‖∂L/∂(w, b)‖²`; L is cross entropy.

    Gradients are computed sample by sample, `samples_at_once` of them held in memory. Raises AttrGraphError for a
    network that `torch.func.vmap` cannot run.
    """
    layers = targetable_layers(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    own = {
        name: [names[id(parameter)] for parameter in (layer.weight, layer.bias) if parameter is not None]
        for name, layer in layers.items()
    }
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    buffers = {name: buffer.detach() for name, buffer in model.named_buffers()}

    def loss(trained: dict[str, Tensor], sample: Tensor, label: Tensor) -> Tensor:
        scores = functional_call(model, (trained, buffers), (sample[None],))
        return functional.cross_entropy(scores, label[None])

    device = next(iter(parameters.values())).device
    totals = {name: torch.zeros(len(layer.weight), dtype=torch.float64) for name, layer in layers.items()}
    gradients_of = vmap(grad(loss), in_dims=(None, 0, 0))
    with evaluation_mode(model), torch.enable_grad():
        for batch, classes in zip(inputs.split(samples_at_once), labels.split(samples_at_once), strict=True):
            try:
                gradients = gradients_of(parameters, batch.to(device), classes.to(device))
            except RuntimeError as error:
                raise AttrGraphError(f"the network has no gradients sample by sample for 'fisher': {error}") from error
            for name, of_layer in own.items():
                for parameter_name in of_layer:
                    rows = gradients[parameter_name]
                    totals[name] += rows.reshape(*rows.shape[:2], -1).square().sum(dim=(0, 2)).cpu().double()
    return table_of("fisher", {name: total / len(inputs) for name, total in totals.items()})
