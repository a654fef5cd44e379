"""How much each weight matters for good samples: elastic weight consolidation (Kirkpatrick et al., 2017).

The empirical Fisher information of a weight, `mean_n (∂L_n/∂w)²` with the labels of the data, over its mean over all
weights: a penalty by it and one that pulls at all weights alike (L2-SP) are then of one size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.surgery.samples import Samples

MOST_SAMPLES = 256


def weight_importance(model: nn.Module, samples: Samples) -> dict[str, Tensor]:
    """By name of the parameter, of its shape, with a mean of 1 over all; of the first 256 samples, one by one.

    Leaves no gradients. All ones where no sample has a gradient.
    """
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    totals = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    with evaluation_mode(model), torch.enable_grad():
        for row in range(min(len(samples.labels), MOST_SAMPLES)):
            one = samples.at(torch.tensor([row]))
            loss = functional.cross_entropy(model(one.inputs), one.labels)
            gradients = torch.autograd.grad(loss, list(named.values()), materialize_grads=True, allow_unused=True)
            for total, gradient in zip(totals.values(), gradients, strict=True):
                total += gradient.square()
    mean = torch.cat([total.reshape(-1) for total in totals.values()]).mean()
    return {name: total / mean if mean > 0 else torch.ones_like(total) for name, total in totals.items()}
