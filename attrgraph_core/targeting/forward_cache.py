"""What stays the same of every sample's forward pass while some neurons train: computed once, for fixed inputs.

Below the lowest trained layer nothing changes: its input h is constant. If it is linear, so are its frozen neurons'
activations a_F, and of a linear layer right above it the part that frozen rows get from them:

    z_F2 = (W_F2,F1 a_F1 + b_F2) + W_F2,A1 a_A1        the bracket is constant
    z_A2 = W_A2 a + b_A2                               active rows read all of a, whose frozen part is constant

So the first layer costs its active rows, and the second its active rows and columns. Both are exact.
"""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.active_parameter import ActiveParameter
from attrgraph_core.targeting.layer_kinds import LinearLayer, TargetedLayer
from attrgraph_core.targeting.target_neurons import TargetedModel

# They keep each neuron to itself, draw nothing, and have no parameter a neuron.
PER_NEURON = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid, nn.Identity,
)  # fmt: skip
PROBED_SAMPLES = 4


class ForwardCache:
    """The constant part of `targeted`'s forward pass of `inputs` (samples, ...); `cache(indices)` gives the scores.

    For an `nn.Sequential` (others inside it are taken apart, other modules taken whole). `level` says what is kept:
    `rows` as above, `prefix` the input of the lowest trained layer, `none` nothing. The most that fits in
    `byte_budget` is kept in memory; what does not is kept in a file in `folder`, if one is given, that is gone with the
    cache. The cached part is computed as in training; parts that draw random numbers or depend on the rest of the batch
    (dropout, batch normalisation with `statistics="updated"`) end it.
    Valid inside `target_neurons`; raises AttrGraphError after, and for a model that is no `nn.Sequential`.
    """

    def __init__(
        self,
        targeted: TargetedModel,
        inputs: Tensor,
        *,
        byte_budget: int = 2**30,
        folder: Path | None = None,
        batch_size: int = 512,
    ) -> None:
        if not isinstance(targeted.model, nn.Sequential):
            raise AttrGraphError(
                f"a forward cache needs an nn.Sequential, whose parts follow each other, not a "
                f"{type(targeted.model).__name__}; train without it"
            )
        started = time.perf_counter()
        self.targeted, self.inputs = targeted, inputs
        units = list(_units(targeted.model))
        trained = {layer.module for layer in targeted.layers}
        first = next(place for place, unit in enumerate(units) if trained.intersection(unit.modules()))
        constant = _constant_units(units[:first], inputs)
        self._prefix, self._rest = units[:constant], units[constant:]
        self._rows = _CachedRows.of(self._rest, targeted) if constant == first else None
        self._stored: dict[str, Tensor] = {}
        self._choose(byte_budget, folder, batch_size)
        self.build_seconds = time.perf_counter() - started

    @property
    def byte_count(self) -> int:
        """What the cache keeps, in memory or on disk."""
        return sum(tensor.nbytes for tensor in self._stored.values())

    def __call__(self, indices: Tensor) -> Tensor:
        """The scores of the samples `indices`, with gradients, as `targeted(inputs[indices])`."""
        if not self.targeted.is_open:
            raise AttrGraphError("the forward cache belongs to a target_neurons that was left; make a new one inside")
        hidden = self._stored.get("hidden", self.inputs)[indices]
        rest = self._rest
        if "hidden" not in self._stored:
            for unit in self._prefix:
                hidden = unit(hidden)
        if self.level == "rows":
            assert self._rows is not None
            hidden = self._rows(hidden, self._stored["frozen"][indices], self._stored["partial"][indices])
            rest = rest[self._rows.unit_count :]
        for unit in rest:
            hidden = unit(hidden)
        return hidden

    def _choose(self, byte_budget: int, folder: Path | None, batch_size: int) -> None:
        probe = self._constants(self.inputs[:1], rows=True)
        sizes = {name: tensor.nbytes * len(self.inputs) for name, tensor in probe.items()}
        prefix_only = {name: size for name, size in sizes.items() if name == "hidden"}
        self.place = "memory"
        if sizes and sum(sizes.values()) <= byte_budget:
            names = sizes
        elif sizes and folder is not None:
            names, self.place = sizes, "disk"
        elif prefix_only and sum(prefix_only.values()) <= byte_budget:
            names = prefix_only
        else:
            names = {}
        self.level = "rows" if "frozen" in names else "prefix" if names else "none"
        for name in names:
            shape = (len(self.inputs), *probe[name].shape[1:])
            self._stored[name] = (
                _mapped(folder, shape, probe[name]) if self.place == "disk" else probe[name].new_empty(shape)
            )
        for start in range(0, len(self.inputs) if names else 0, batch_size):
            part = self._constants(self.inputs[start : start + batch_size], rows=self.level == "rows")
            for name in names:
                self._stored[name][start : start + batch_size] = part[name]

    @torch.no_grad()
    def _constants(self, inputs: Tensor, rows: bool) -> dict[str, Tensor]:
        hidden = inputs
        for unit in self._prefix:
            hidden = unit(hidden)
        constants = {"hidden": hidden} if self._prefix else {}
        if rows and self._rows is not None:
            constants["frozen"], constants["partial"] = self._rows.constants(hidden)
        return constants


class _CachedRows:
    """The lowest trained layer, what follows it neuron by neuron, and the linear layer above."""

    def __init__(self, first: LinearLayer, between: list[nn.Module], second: nn.Linear, second_layer: Any) -> None:
        self.first, self.between, self.second = first, between, second
        self.unit_count = len(between) + 2
        self.active = _rows_of(first.active["weight"], first)
        rows = getattr(second_layer, "active", {}).get("weight")
        self.second_weight: ActiveParameter | None = rows
        self.second_bias: ActiveParameter | None = getattr(second_layer, "active", {}).get("bias")
        every = torch.arange(len(second.weight), device=second.weight.device)
        self.active_above = every[:0] if rows is None else every if rows.rows is None else rows.rows
        is_frozen = torch.ones(len(every), dtype=torch.bool, device=every.device)
        is_frozen[self.active_above] = False
        self.frozen_above = every[is_frozen]
        with torch.no_grad():
            self.frozen_weight = second.weight[self.frozen_above].index_select(1, self.active)

    @staticmethod
    def of(units: list[nn.Module], targeted: TargetedModel) -> "_CachedRows | None":
        """The two layers at the head of `units`, or None where they are not of this form."""
        layers: dict[nn.Module, TargetedLayer] = {layer.module: layer for layer in targeted.layers}
        first = layers.get(units[0])
        if type(first) is not LinearLayer or first.plan.rows is None or first.plan.columns is not None:
            return None
        between: list[nn.Module] = []
        for unit in units[1:]:
            if type(unit) is nn.Linear:
                above = layers.get(unit)
                has_columns = isinstance(above, LinearLayer) and above.plan.columns is not None
                return None if has_columns else _CachedRows(first, between, unit, above)
            if type(unit) not in PER_NEURON:
                return None
            between.append(unit)
        return None

    def constants(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Activations (samples, neurons), zeros for active ones, and the constant part (samples, frozen above)."""
        frozen = self._between(functional.linear(hidden, self.first.weight, self.first.module.bias))  # type: ignore[arg-type]
        frozen.index_fill_(-1, self.active, 0.0)
        bias = None if self.second.bias is None else self.second.bias[self.frozen_above]
        return frozen, functional.linear(frozen, self.second.weight[self.frozen_above], bias)

    def __call__(self, hidden: Tensor, frozen: Tensor, partial: Tensor) -> Tensor:
        weight, bias = (self.first.active.get(name) for name in ("weight", "bias"))
        assert weight is not None
        active = functional.linear(hidden, _whole(weight.leaves), None if bias is None else _whole(bias.leaves))
        weights = self.second_weight.leaves if self.second_weight else []
        biases = self.second_bias.leaves if self.second_bias else []
        output: Tensor = _SecondLayer.apply(
            self._between(active), frozen, partial, self, len(weights), *weights, *biases
        )
        return output

    def _between(self, tensor: Tensor) -> Tensor:
        for unit in self.between:
            tensor = unit(tensor)
        return tensor


class _SecondLayer(torch.autograd.Function):
    """The layer above, from the active activations, the frozen ones and the constant part."""

    @staticmethod
    def forward(
        ctx: Any, active: Tensor, frozen: Tensor, partial: Tensor, rows: _CachedRows, weight_count: int,
        *leaves: Tensor,
    ) -> Tensor:  # fmt: skip
        whole = frozen.index_copy_(1, rows.active, active)  # a copy already: it was gathered for this batch
        ctx.rows, ctx.sizes = (
            rows,
            [[len(leaf) for leaf in part] for part in (leaves[:weight_count], leaves[weight_count:])],
        )
        output = active.new_empty(len(active), len(rows.second.weight))
        if len(rows.frozen_above):
            output.index_copy_(1, rows.frozen_above, torch.addmm(partial, active, rows.frozen_weight.t()))
        if rows.second_weight is not None:
            bias = rows.second_bias.values if rows.second_bias else None
            output.index_copy_(1, rows.active_above, functional.linear(whole, rows.second_weight.values, bias))
        ctx.save_for_backward(whole)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        rows: _CachedRows = ctx.rows
        (whole,) = ctx.saved_tensors
        of_active = gradient.index_select(1, rows.frozen_above) @ rows.frozen_weight
        gradients: list[Tensor] = []
        if rows.second_weight is not None:
            above = gradient.index_select(1, rows.active_above)
            of_active += above @ rows.second_weight.values.index_select(1, rows.active)
            gradients += (above.t() @ whole).split(ctx.sizes[0])
            if rows.second_bias is not None:
                gradients += above.sum(dim=0).split(ctx.sizes[1])
        return (of_active, None, None, None, None, *gradients)


def _whole(leaves: list[nn.Parameter]) -> Tensor:
    return leaves[0] if len(leaves) == 1 else torch.cat(tuple(leaves))


def _rows_of(active: ActiveParameter, layer: LinearLayer) -> Tensor:
    assert active.rows is not None, f"all neurons of {layer.name} train"
    return active.rows


def _units(model: nn.Sequential) -> Iterator[nn.Module]:
    for module in model:
        if type(module) is nn.Sequential:
            yield from _units(module)
        else:
            yield module


def _constant_units(units: list[nn.Module], inputs: Tensor) -> int:
    """How many of `units`, from the first on, give a sample the same whenever they are asked, in training mode."""
    modes = [(module, module.training) for unit in units for module in unit.modules()]
    try:
        with torch.no_grad(), torch.random.fork_rng():
            probe = inputs[:PROBED_SAMPLES]
            for count, unit in enumerate(units):
                # A batch normalisation that follows the mode would move its statistics here.
                if _depends_on_batch(unit):
                    return count
                unit.train()
                first, again, alone = unit(probe), unit(probe), unit(probe[:1])
                if not (torch.equal(first, again) and torch.allclose(first[:1], alone, rtol=1e-4, atol=1e-5)):
                    return count
                probe = first
    finally:
        for module, training in modes:
            module.training = training
    return len(units)


def _depends_on_batch(unit: nn.Module) -> bool:
    norms = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    return any(
        isinstance(module, norms)
        and not (isinstance(module, norms[0]) and "train" in module.__dict__ and module.running_mean is not None)
        and getattr(module, "p", 1.0) > 0
        for module in unit.modules()
    )


def _mapped(folder: Path | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A tensor in a file that has no name any more, so that nothing is left of it."""
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"forward-cache-{uuid.uuid4().hex}"
    numbers = 1
    for size in shape:
        numbers *= size
    try:
        tensor = torch.from_file(str(path), shared=True, size=numbers, dtype=like.dtype)
    except RuntimeError as error:
        raise AttrGraphError(f"cannot keep the forward cache in {folder}: {error}") from error
    finally:
        path.unlink(missing_ok=True)
    return tensor.reshape(shape)
