"""How much the loss would change without a neuron, to first order (Molchanov et al., ICLR 2017, equation 8).

The paper averages over the positions of a channel before it takes the absolute value; here they are summed, which is
the same order within a layer.
"""

import pandas as pd
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.targeting.scores.layer_outputs import signed_contributions, table_of


def taylor(model: nn.Module, inputs: Tensor, labels: Tensor) -> pd.DataFrame:
    """A row a neuron: layer, index, taylor, the mean over samples of `|Σ_positions a ∂L/∂a|`; L is cross entropy."""

    def loss(scores: Tensor, rows: slice) -> Tensor:
        return functional.cross_entropy(scores, labels[rows].to(scores.device), reduction="sum")

    found = signed_contributions(model, inputs, loss)
    return table_of("taylor", {name: values.abs().mean(dim=0) for name, values in found.items()})
