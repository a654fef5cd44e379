"""Rules of layer-wise relevance propagation: how a layer with weights shares a neuron's relevance among its sources.

Every rule is written as parts of the layer's product, `z ≈ Σ_m apply(a_m, W_m)`, each with a factor for the relevance
that passes through it; the parts are what edges are made of.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from attrgraph_core.attribution.structure import Layer
from attrgraph_core.errors import AttrGraphError


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a layer's product, apply(`source`, `weight`), that passes `factor` times `R_j / z_j` on.

    `bias` (out,) and `stabiliser`, of the output's shape, keep what they are of it.
    """

    source: Tensor
    weight: Tensor
    factor: Tensor
    bias: Tensor | None
    stabiliser: Tensor


class Rule(ABC):
    """A rule for one layer."""

    @abstractmethod
    def pieces(self, layer: Layer, values: Tensor, output: Tensor) -> tuple[Piece, ...]:
        """Parts of `output` = layer(`values`), whose factors are multiplied with `R_j / z_j`, the gradient of LRP.

        Of several at most one has a share in an edge of a sample: by the signs of source and neuron, for one.
        """


@dataclass(frozen=True)
class Epsilon(Rule):
    """LRP-ε (Bach et al., 2015, eq. 58): `R_i = Σ_j a_i W_ji R_j / (z_j + ε sign(z_j))`."""

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check_positive("epsilon", self.epsilon)

    def pieces(self, layer: Layer, values: Tensor, output: Tensor) -> tuple[Piece, ...]:
        stabiliser = _stabiliser(self.epsilon, output)
        return (Piece(values, layer.weight(), output / (output + stabiliser), layer.bias(), stabiliser),)


@dataclass(frozen=True)
class Gamma(Rule):
    """LRP-γ (Montavon et al., 2019, eq. 3): positive weights count 1 + γ times. For sources that are not negative."""

    gamma: float = 0.25
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check_positive("gamma", self.gamma)
        _check_positive("epsilon", self.epsilon)

    def pieces(self, layer: Layer, values: Tensor, output: Tensor) -> tuple[Piece, ...]:
        weight = _favour(layer.weight(), self.gamma, positive=True)
        bias = layer.bias()
        bias = None if bias is None else _favour(bias, self.gamma, positive=True)
        favoured = layer.apply(values, weight, bias)
        stabiliser = _stabiliser(self.epsilon, favoured)
        return (Piece(values, weight, output / (favoured + stabiliser), bias, stabiliser),)


@dataclass(frozen=True)
class GeneralisedGamma(Rule):
    """Generalised γ (Andéol et al., 2023): what agrees with the sign of `z_j` counts 1 + γ times, for any sources."""

    gamma: float = 0.25
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check_positive("gamma", self.gamma)
        _check_positive("epsilon", self.epsilon)

    def pieces(self, layer: Layer, values: Tensor, output: Tensor) -> tuple[Piece, ...]:
        weight, bias = layer.weight(), layer.bias()
        favours = {sign: _favour(weight, self.gamma, positive=sign) for sign in (True, False)}
        parts = {True: values.clamp(min=0), False: values.clamp(max=0)}
        pieces: list[Piece] = []
        for sign in (True, False):
            chosen = ((output > 0) if sign else (output < 0)).to(output)
            own = None if bias is None else _favour(bias, self.gamma, positive=sign)
            # A source of the neuron's sign counts more by positive weights, one of the other sign by negative ones.
            total = layer.apply(parts[True], favours[sign], own) + layer.apply(parts[False], favours[not sign], None)
            stabiliser = _stabiliser(self.epsilon, total)
            factor = chosen * output / (total + stabiliser)
            # Of both pieces one has the ledger.
            pieces.append(Piece(parts[True], favours[sign], factor, own, stabiliser))
            pieces.append(Piece(parts[False], favours[not sign], factor, None, torch.zeros_like(stabiliser)))
        return tuple(pieces)


def _stabiliser(epsilon: float, values: Tensor) -> Tensor:
    """ε with the sign of each value; not 0 at zero, where it would stabilise nothing."""
    return torch.full((), epsilon, dtype=values.dtype, device=values.device).copysign(values)


def _favour(weight: Tensor, gamma: float, positive: bool) -> Tensor:
    return weight + gamma * (weight.clamp(min=0) if positive else weight.clamp(max=0))


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise AttrGraphError(f"{name} is {value}; it is a number above 0")
