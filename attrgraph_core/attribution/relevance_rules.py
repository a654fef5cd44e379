"""Rules of layer-wise relevance propagation: how a layer with weights shares a neuron's relevance among its sources.

Every rule is written as parts of the layer's product, `z ≈ Σ_m apply(a_m, W_m)`, each with a factor for the relevance
that passes through it; the parts are what edges are made of.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from attrgraph_core.attribution.network_pass import channel_shape
from attrgraph_core.attribution.structure import Layer
from attrgraph_core.errors import AttrGraphError

Piece = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Shared:
    """How relevance is shared: `pieces` (source, weight, factor); what `bias` and `stabiliser` keep, per `R/z`.

    Of several pieces at most one has a share in an edge of a sample: by the signs of source and neuron, for one.
    """

    pieces: tuple[Piece, ...]
    bias: Tensor
    stabiliser: Tensor


class Rule(ABC):
    """A rule for one layer."""

    @abstractmethod
    def share(self, layer: Layer, values: Tensor, output: Tensor) -> Shared:
        """Parts of `output` = layer(`values`); a factor is multiplied with `R_j / z_j`, the gradient of LRP."""


@dataclass(frozen=True)
class Epsilon(Rule):
    """LRP-ε (Bach et al., 2015, eq. 58): `R_i = Σ_j a_i W_ji R_j / (z_j + ε sign(z_j))`."""

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check_positive("epsilon", self.epsilon)

    def share(self, layer: Layer, values: Tensor, output: Tensor) -> Shared:
        stabiliser = self.epsilon * _sign(output)
        factor = output / (output + stabiliser)
        return Shared(((values, layer.weight(), factor),), _shape_of_bias(layer, output) * factor, stabiliser * factor)


@dataclass(frozen=True)
class Gamma(Rule):
    """LRP-γ (Montavon et al., 2019, eq. 3): positive weights count 1 + γ times. For sources that are not negative."""

    gamma: float = 0.25
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check_positive("gamma", self.gamma)
        _check_positive("epsilon", self.epsilon)

    def share(self, layer: Layer, values: Tensor, output: Tensor) -> Shared:
        weight = _favour(layer.weight(), self.gamma, positive=True)
        bias = layer.bias()
        bias = None if bias is None else _favour(bias, self.gamma, positive=True)
        favoured = layer.apply(values, weight, bias)
        stabiliser = self.epsilon * _sign(favoured)
        factor = output / (favoured + stabiliser)
        own = favoured.new_zeros(()) if bias is None else channel_shape(bias, output, layer)
        return Shared(((values, weight, factor),), own * factor, stabiliser * factor)


@dataclass(frozen=True)
class GeneralisedGamma(Rule):
    """Generalised γ (Andéol et al., 2023): what agrees with the sign of `z_j` counts 1 + γ times, for any sources."""

    gamma: float = 0.25
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check_positive("gamma", self.gamma)
        _check_positive("epsilon", self.epsilon)

    def share(self, layer: Layer, values: Tensor, output: Tensor) -> Shared:
        weight, bias = layer.weight(), layer.bias()
        favours = {sign: _favour(weight, self.gamma, positive=sign) for sign in (True, False)}
        parts = {True: values.clamp(min=0), False: values.clamp(max=0)}
        pieces: list[Piece] = []
        kept_by_bias = kept_by_stabiliser = torch.zeros_like(output)
        for sign in (True, False):
            chosen = ((output > 0) if sign else (output < 0)).to(output)
            own = None if bias is None else _favour(bias, self.gamma, positive=sign)
            # A source of the neuron's sign counts more by positive weights, one of the other sign by negative ones.
            total = layer.apply(parts[True], favours[sign], own) + layer.apply(parts[False], favours[not sign], None)
            stabiliser = self.epsilon * _sign(total)
            factor = chosen * output / (total + stabiliser)
            pieces += [(parts[True], favours[sign], factor), (parts[False], favours[not sign], factor)]
            if own is not None:
                kept_by_bias = kept_by_bias + channel_shape(own, output, layer) * factor
            kept_by_stabiliser = kept_by_stabiliser + stabiliser * factor
        return Shared(tuple(pieces), kept_by_bias, kept_by_stabiliser)


def _sign(values: Tensor) -> Tensor:
    """1 at zero, too: a stabiliser that vanishes would stabilise nothing."""
    return torch.where(values < 0, -1.0, 1.0).to(values)


def _favour(weight: Tensor, gamma: float, positive: bool) -> Tensor:
    return weight + gamma * (weight.clamp(min=0) if positive else weight.clamp(max=0))


def _shape_of_bias(layer: Layer, output: Tensor) -> Tensor:
    bias = layer.bias()
    return output.new_zeros(()) if bias is None else channel_shape(bias, output, layer)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise AttrGraphError(f"{name} is {value}; it is a number above 0")
