"""The neuron attributions of Captum, to hold ours against."""

from dataclasses import dataclass

import torch
from captum.attr import LayerDeepLift, LayerGradientXActivation
from torch import Tensor, nn

from attrgraph_core.attribution.baseline import make_baseline
from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.factors import Batch, per_sample
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.methods import edge_method
from attrgraph_core.attribution.target import Logits
from attrgraph_core.errors import AttrGraphError

CAPTUM_TWINS = ("deeplift", "gradient_times_activation")
LARGEST_CAPTUM_RESIDUAL = 1e-3  # of the mean score: beyond it Captum's own figures do not add up


@dataclass(frozen=True)
class CaptumComparison:
    """How far our neuron attributions are from Captum's.

    `largest_difference` is relative to the largest attribution of its layer, over the `compared` layers. The layers
    in `captum_incomplete` were left out: Captum raises there, or its DeepLIFT figures miss the score that they explain
    (as shares must that a skip connection passes by).
    """

    largest_difference: float
    compared: tuple[str, ...]
    captum_incomplete: tuple[str, ...]


def compare_with_captum(
    model: nn.Module, inputs: Tensor, labels: Tensor, method: str, baseline: str | Tensor | None = None
) -> CaptumComparison:
    """Hold the attributions at the outputs of the layers with weights against Captum's.

    Captum 0.9's DeepLIFT is not complete below a ReLU that feeds a max pooling, raises on reused activations, and is
    wrong on functional ones; ours is complete on all of them. Raises AttrGraphError for a method that has no twin, see
    `CAPTUM_TWINS`.
    """
    if method not in CAPTUM_TWINS:
        raise AttrGraphError(f"Captum has no twin of method {method!r}; it has of {', '.join(CAPTUM_TWINS)}")
    with evaluation_mode(model):
        structure = network_structure(model, inputs)
        _, reference = make_baseline(baseline, inputs)
        with torch.enable_grad():
            ours = edge_method(method).factors(structure, Batch(inputs, Logits(labels), reference))
        largest, compared, incomplete = 0.0, [], []
        for factors in ours.layers:
            layer = factors.layer
            if layer.operation != "weighted":
                continue
            try:
                expected = _captum(model, model.get_submodule(layer.name), inputs, labels, method, reference)
            except Exception:  # of many kinds: Captum refuses networks by assertions, attributes and shapes
                incomplete.append(layer.name)
                continue
            residual = (per_sample(expected) - ours.explained).abs().mean() / ours.explained.abs().mean()
            if method == "deeplift" and residual > LARGEST_CAPTUM_RESIDUAL:
                incomplete.append(layer.name)
                continue
            compared.append(layer.name)
            difference = (factors.attribution - expected).abs().max()
            largest = max(largest, float(difference / expected.abs().max().clamp_min(1e-12)))
    return CaptumComparison(largest, tuple(compared), tuple(incomplete))


def _captum(
    model: nn.Module, layer: nn.Module, inputs: Tensor, labels: Tensor, method: str, baseline: Tensor
) -> Tensor:
    if method == "deeplift":
        result = LayerDeepLift(model, layer).attribute(inputs, baseline.expand_as(inputs), target=labels)
    else:
        result = LayerGradientXActivation(model, layer).attribute(inputs, target=labels)
    assert isinstance(result, torch.Tensor)
    return result.detach()
