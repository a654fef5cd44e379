"""Which neurons push misclassified samples to the wrong class: gradient x activation of wrong minus right logit."""

import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.targeting.scores.layer_outputs import signed_contributions, table_of


def class_error(model: nn.Module, inputs: Tensor, labels: Tensor, *, batch_size: int = 512) -> pd.DataFrame:
    """A row a neuron: layer, index, class_error.

    It is the sum over the misclassified of `Σ_positions a ∂(z_wrong - z_right)/∂a`, by the number of all samples, and 0
    where that is negative: such a neuron speaks for the right class. Where no sample is misclassified all are 0.
    """
    device = next(model.parameters()).device
    with evaluation_mode(model), torch.no_grad():
        predicted = torch.cat([model(batch.to(device)).argmax(dim=1).cpu() for batch in inputs.split(batch_size)])
    wrong = predicted != labels.cpu()
    chosen, right = predicted[wrong], labels.cpu()[wrong]

    def margin(scores: Tensor, rows: slice) -> Tensor:
        named = torch.stack([chosen[rows], right[rows]], dim=1).to(scores.device)
        return scores.gather(1, named).diff(dim=1).neg().sum()

    found = signed_contributions(model, inputs[wrong], margin, batch_size)
    return table_of("class_error", {name: own.sum(dim=0).clamp(min=0) / len(inputs) for name, own in found.items()})
