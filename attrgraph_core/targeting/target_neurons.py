"""Training some neurons of a network, and nothing else.

The incoming weights of the chosen neurons (rows of W) and their biases become parameters of their own, the only ones
that an optimizer gets. A layer computes with its frozen weights in which these rows are replaced,
`W' = index_copy(W, rows, active)`, so gradients reach the active rows as in ordinary training while momentum and weight
decay have no hold on the rest: a frozen weight stays what it was, bit for bit. (Masked gradients do not achieve this:
what momentum or decay has in store moves a frozen weight all the same.)

Optimizer state and kept gradients are proportional to the active rows. The backward pass stops below the lowest trained
layer, but computes the gradient of all rows of a trained one before it takes the active ones: a step of an MLP-1024
takes 0.9 of a dense one (CPU, fused AdamW).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.neuron_set import sorted_neurons

TARGETABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(frozen=True, eq=False)
class ActiveRows:
    """The neurons of one layer that train: `weight` (rows, ...) and `bias` (rows,) replace the layer's own rows."""

    name: str
    layer: Layer
    rows: Tensor
    weight: nn.Parameter
    bias: nn.Parameter | None

    def forward(self, input: Tensor) -> Tensor:
        """The layer's own forward, with the active rows in place."""
        weight = self.layer.weight.index_copy(0, self.rows, self.weight)
        bias = self.layer.bias
        if bias is not None and self.bias is not None:
            bias = bias.index_copy(0, self.rows, self.bias)
        if isinstance(self.layer, nn.Linear):
            return functional.linear(input, weight, bias)
        return self.layer._conv_forward(input, weight, bias)  # it knows stride, padding modes, dilation and groups

    def write_back(self) -> None:
        """Put the active rows into the layer's own parameters, in place."""
        with torch.no_grad():
            self.layer.weight.index_copy_(0, self.rows, self.weight)
            if self.layer.bias is not None and self.bias is not None:
                self.layer.bias.index_copy_(0, self.rows, self.bias)


class TargetedModel:
    """What of `model` is trained inside `target_neurons`."""

    def __init__(self, model: nn.Module, active: Iterable[ActiveRows]) -> None:
        self.model = model
        self._active = tuple(active)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What trains: for `fc1.weight` a leaf (active neurons, ...), for `fc1.bias` one (active neurons,)."""
        for active in self._active:
            yield f"{active.name}.weight", active.weight
            if active.bias is not None:
                yield f"{active.name}.bias", active.bias

    def parameters(self) -> Iterator[nn.Parameter]:
        """What an optimizer is given: the active rows, and nothing that is frozen."""
        for _, parameter in self.named_parameters():
            yield parameter

    def state_dict(self) -> dict[str, Any]:
        """The whole model's state under its ordinary names, as trained so far; it shares the model's memory."""
        self.write_back()
        return self.model.state_dict()

    def write_back(self) -> None:
        """Bring the model's own parameters up to date, for whatever reads them rather than runs the model.

        Leaving the context does it too.
        """
        for active in self._active:
            active.write_back()

    @property
    def trained_neuron_count(self) -> int:
        return sum(len(active.rows) for active in self._active)

    @property
    def trained_weight_count(self) -> int:
        """Weights and biases that train."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def trained_share(self) -> float:
        """`trained_weight_count` over all weights and biases of the model, in (0, 1]."""
        return self.trained_weight_count / sum(parameter.numel() for parameter in self.model.parameters())


@contextmanager
def target_neurons(model: nn.Module, neurons: Mapping[str, Iterable[int]]) -> Iterator[TargetedModel]:
    """Inside, only `neurons` of `model` train; all else, running statistics included, stays bit for bit.

    `neurons` names rows of linear layers and output channels of convolutions, `{"fc1": [3, 17]}`. Give the optimizer
    the yielded model's `parameters()`, and run `model` as ever. Normalisation layers with running statistics stay in
    evaluation mode even after `model.train()`. Move the model to its device before. A forward that reads a targeted
    layer's weight without calling the layer gets the frozen one, and its rows no gradient.
    On leaving, by an exception too, the trained rows are in the model's own parameters (the same objects as before)
    and `requires_grad` and the modes are what they were.
    Raises AttrGraphError, before anything is changed, for a layer that does not exist, is of another type than
    Linear, Conv1d, Conv2d and Conv3d, shares its weights with another or is targeted already, and for a neuron that
    does not exist or is named twice.
    """
    active = [_active_rows(model, name, indices) for name, indices in sorted_neurons(neurons).items()]
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    # Those that an outer target_neurons keeps in evaluation mode already are left to it.
    norms = [module for module in model.modules() if _moves_statistics(module) and "train" not in module.__dict__]
    targeted = TargetedModel(model, active)
    try:
        for parameter, _ in required:
            parameter.requires_grad_(False)
        for norm in norms:
            norm.eval()
            norm.__dict__["train"] = _stay_in_evaluation(norm)
        for rows in active:
            rows.layer.__dict__["forward"] = rows.forward
        yield targeted
    finally:
        for rows in active:
            rows.layer.__dict__.pop("forward", None)
        targeted.write_back()
        for norm in norms:
            norm.__dict__.pop("train", None)
        for module, training in modes:
            module.training = training
        for parameter, flag in required:
            parameter.requires_grad_(flag)


def _active_rows(model: nn.Module, name: str, indices: tuple[int, ...]) -> ActiveRows:
    layer = targetable_layer(model, name)
    width = len(layer.weight)
    if indices[-1] >= width:
        raise AttrGraphError(f"layer {name!r} has neurons 0 to {width - 1}, no neuron {indices[-1]}")
    rows = torch.tensor(indices, device=layer.weight.device)

    def leaf(parameter: Tensor) -> nn.Parameter:
        return nn.Parameter(parameter.detach().index_select(0, rows))

    return ActiveRows(name, layer, rows, leaf(layer.weight), None if layer.bias is None else leaf(layer.bias))


def targetable_layer(model: nn.Module, name: str) -> Layer:
    """The layer called `name`; AttrGraphError where its neurons cannot be trained apart from everything else."""
    modules = dict(model.named_modules(remove_duplicate=False))
    if name not in modules:
        known = ", ".join(targetable_layers(model)) or "none"
        raise AttrGraphError(f"the network has no layer {name!r}; layers with neurons are {known}")
    layer = modules[name]
    # Exact types: a subclass may compute something else than its base with its weights.
    if type(layer) not in TARGETABLE:
        known = ", ".join(targetable.__name__ for targetable in TARGETABLE)
        raise AttrGraphError(f"layer {name!r} is a {type(layer).__name__}; neurons can be trained of {known}")
    assert isinstance(layer, TARGETABLE)
    if "forward" in layer.__dict__:
        raise AttrGraphError(f"the forward of layer {name!r} is replaced already; leave the other target_neurons first")
    if not isinstance(layer._parameters.get("weight"), nn.Parameter):
        raise AttrGraphError(f"the weight of layer {name!r} is computed (weight or spectral norm); remove that first")
    for parameter_name in ("weight", "bias"):
        _check_unshared(model, f"{name}.{parameter_name}".removeprefix("."), getattr(layer, parameter_name))
    return layer


def targetable_layers(model: nn.Module) -> dict[str, Layer]:
    """The layers that have neurons, by name, in the order in which the model lists them."""
    modules = model.named_modules()
    return {name: module for name, module in modules if isinstance(module, TARGETABLE) and type(module) in TARGETABLE}


def _check_unshared(model: nn.Module, own_name: str, parameter: Tensor | None) -> None:
    if parameter is None:
        return
    memory = parameter.untyped_storage().data_ptr()
    for name, other in model.named_parameters(remove_duplicate=False):
        if name != own_name and other.untyped_storage().data_ptr() == memory:
            raise AttrGraphError(
                f"{own_name!r} shares its memory with {name!r}, which would train too; target neither, or untie them"
            )


def _moves_statistics(module: nn.Module) -> bool:
    return isinstance(module, _NormBase) and module.running_mean is not None


def _stay_in_evaluation(norm: nn.Module) -> Callable[[bool], nn.Module]:
    def train(mode: bool = True) -> nn.Module:
        return norm

    return train
