"""The kinds of layers whose neurons can be trained: what a neuron of each is, and how it computes meanwhile.

| layer | neuron | its own parameters |
|---|---|---|
| Linear | output feature | a row of the weight, its bias |
| Conv1d, Conv2d, Conv3d | output channel | a filter, its bias |
| BatchNorm1d to 3d, LayerNorm over one dimension, GroupNorm | channel or feature | its scale and shift |
| Embedding | feature | a column of the table |
| MultiheadAttention | head | its rows of the query, key and value projections, their biases |
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.active_parameter import ActiveParameter
from attrgraph_core.targeting.needed_columns import Source, columns_of, needed_sources
from attrgraph_core.targeting.row_gradients import (
    ConvolutionPlan,
    ConvolutionRows,
    EmbeddingFeatures,
    Geometry,
    LinearRows,
    NeededInput,
    Plan,
)


class TargetedLayer:
    """A layer while some of its neurons train, or none: `order` are its active neurons as its leaves hold them.

    `sizes` are the neurons of each leaf: `order` is cut into parts that share an optimizer's count of steps.
    """

    module: nn.Module

    def __init__(self, name: str, module: nn.Module, order: Sequence[int], sizes: Sequence[int]) -> None:
        self.name, self.module, self.order, self.sizes = name, module, tuple(order), tuple(sizes)
        self.active: dict[str, ActiveParameter] = {}

    @property
    def neuron_count(self) -> int:
        raise NotImplementedError

    def forward(self, *inputs: Any, **named: Any) -> Any:
        raise NotImplementedError

    def write_back_if_changed(self) -> None:
        # A compiled graph cannot ask for versions; there the hook after the optimizer's step is enough.
        if self.active and not torch.compiler.is_compiling():
            for active in self.active.values():
                active.write_back_if_changed()

    def read_again(self) -> None:
        """Take over parameters that were loaded."""
        for active in self.active.values():
            active.read_again()

    def rows_of_neurons(self, rows_a_neuron: int = 1) -> tuple[Tensor | None, tuple[int, ...]]:
        """The rows of `order`, None for all in one leaf, and how many each leaf has."""
        sizes = tuple(size * rows_a_neuron for size in self.sizes)
        if len(self.order) == self.neuron_count and len(sizes) == 1 and rows_a_neuron == 1:
            return None, sizes
        return torch.tensor(self.order, device=next(self.module.parameters()).device), sizes

    def _activate(self, name: str, rows: Tensor | None, sizes: Sequence[int], **more: Any) -> tuple[int, ...]:
        """Make a parameter's rows leaves; gives the sizes, () where the layer has no such parameter."""
        parameter = getattr(self.module, name)
        if parameter is None or not self.order:
            return ()
        self.active[name] = ActiveParameter(parameter, rows, sizes, **more)
        return tuple(sizes)

    def _leaves(self) -> list[nn.Parameter]:
        return [leaf for active in self.active.values() for leaf in active.leaves]


class RowLayer(TargetedLayer):
    """A linear layer or a convolution: its neurons are the rows of its weight."""

    plan: Plan
    function: Any

    @property
    def neuron_count(self) -> int:
        return len(self.module.weight)  # type: ignore[arg-type]

    def __init__(
        self, name: str, module: nn.Module, order: Sequence[int], sizes: Sequence[int],
        columns: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name, module, order, sizes)
        self._needed: dict[tuple[Source, ...], tuple[int, NeededInput | None]] = {}
        rows, leaf_sizes = self.rows_of_neurons()
        if columns is not None and rows is None:
            rows = torch.tensor(self.order, device=self.weight.device)
        chosen = None if columns is None else torch.tensor(tuple(columns), device=self.weight.device)
        weight_sizes = self._activate("weight", rows, leaf_sizes, columns=chosen)
        bias_sizes = self._activate("bias", rows, leaf_sizes)
        self.plan = self._plan(rows, weight_sizes, bias_sizes, chosen)

    @property
    def weight(self) -> Tensor:
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        return weight

    def read_again(self) -> None:
        super().read_again()
        self._needed.clear()

    def _plan(
        self, rows: Tensor | None, weight_sizes: tuple[int, ...], bias_sizes: tuple[int, ...], columns: Tensor | None
    ) -> Plan:
        return Plan(rows, weight_sizes, bias_sizes, columns)

    def compute(self, input: Tensor) -> Tensor:
        """What the layer gives with its parameters as they are, as autograd itself would have it."""
        raise NotImplementedError

    def rows(self, input: Tensor) -> Tensor:
        self.write_back_if_changed()
        if not torch.is_grad_enabled():
            return self.compute(input)
        needed = self._needed_input(input)
        trains_a_part = self.plan.leaf_count and (self.plan.rows is not None or self.plan.columns is not None)
        if needed is None and not trains_a_part:
            return self.compute(input)
        weight, own_bias = self.weight.detach(), self.module.bias
        bias = own_bias.detach() if isinstance(own_bias, Tensor) else None
        if torch.is_autocast_enabled(input.device.type):
            lower = torch.get_autocast_dtype(input.device.type)
            input, weight = input.to(lower), weight.to(lower)
            bias = None if bias is None else bias.to(lower)
            needed = None if needed is None else NeededInput(needed.columns, needed.weight.to(lower))
        output: Tensor = self.function.apply(input, weight, bias, self.plan, needed, *self._leaves())
        return output

    def forward(self, input: Tensor) -> Tensor:
        return self.rows(input)

    def _needed_input(self, input: Tensor) -> NeededInput | None:
        if not input.requires_grad or torch.compiler.is_compiling():
            return None
        sources = needed_sources(input, self.plan.channel_dim(input.dim()))
        if sources is None:
            return None
        own = self.active.get("weight")
        updates = own.updates if own else 0
        known = self._needed.get(sources)
        # Nobody counts the updates of a leaf that is the parameter itself.
        if known is None or known[0] != updates or (own is not None and own.rows is None):
            known = self._needed[sources] = (updates, self._slice(sources, known and known[1], own))
        return known[1]

    def _slice(
        self, sources: tuple[Source, ...], known: NeededInput | None, own: ActiveParameter | None
    ) -> NeededInput | None:
        weight = self.weight.detach()
        if known is None or own is None or own.rows is None:
            columns = known.columns if known else columns_of(sources, weight.shape[1])
            return None if columns is None else NeededInput(columns, weight.index_select(1, columns))
        # Only the active rows have changed.
        rows = own.values if own.columns is None else weight.index_select(0, own.rows)
        known.weight.index_copy_(0, own.rows, rows.index_select(1, known.columns))
        return known


class LinearLayer(RowLayer):
    function = LinearRows

    def compute(self, input: Tensor) -> Tensor:
        return functional.linear(input, self.weight, self.module.bias)  # type: ignore[arg-type]


class ConvolutionLayer(RowLayer):
    module: nn.Conv1d | nn.Conv2d | nn.Conv3d
    plan: ConvolutionPlan
    function = ConvolutionRows

    def _plan(
        self, rows: Tensor | None, weight_sizes: tuple[int, ...], bias_sizes: tuple[int, ...], columns: Tensor | None
    ) -> Plan:
        layer = self.module
        # Where padding is not zeros on both sides alike, the input is padded before.
        padding = (0,) * len(layer.stride) if self._pads_before else tuple(layer.padding)
        geometry = Geometry(layer.stride, padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
        return ConvolutionPlan(
            rows, weight_sizes, bias_sizes, columns, True, geometry, layer.weight.shape[1], len(layer.weight)
        )

    @property
    def _pads_before(self) -> bool:
        return self.module.padding_mode != "zeros" or isinstance(self.module.padding, str)

    def compute(self, input: Tensor) -> Tensor:
        return self.module._conv_forward(input, self.module.weight, self.module.bias)

    def forward(self, input: Tensor) -> Tensor:
        batched = input if input.dim() == self.weight.dim() else input.unsqueeze(0)
        if self._pads_before and torch.is_grad_enabled() and self.order:
            output = self._padded(batched)
        else:
            output = self.rows(batched)
        return output if batched is input else output.squeeze(0)

    def _padded(self, input: Tensor) -> Tensor:
        mode = "constant" if self.module.padding_mode == "zeros" else self.module.padding_mode
        padding = self.module._reversed_padding_repeated_twice
        self.write_back_if_changed()
        if self.plan.rows is None and self.plan.columns is None:
            return self.compute(input)
        return self.rows(functional.pad(input, padding, mode=mode))

    def _needed_input(self, input: Tensor) -> NeededInput | None:
        # Groups tie columns to rows, and a layer that pads by itself would have to pad here.
        if self.module.groups > 1 or (self._pads_before and not self.order):
            return None
        return super()._needed_input(input)


class ScaleLayer(TargetedLayer):
    """A normalisation layer: its neurons are the entries of its scale and shift."""

    @property
    def neuron_count(self) -> int:
        return len(self.module.weight)  # type: ignore[arg-type]

    def __init__(self, name: str, module: nn.Module, order: Sequence[int], sizes: Sequence[int]) -> None:
        super().__init__(name, module, order, sizes)
        rows, leaf_sizes = self.rows_of_neurons()
        for parameter in ("weight", "bias"):
            if getattr(module, parameter, None) is not None:
                self._activate(parameter, rows, leaf_sizes)

    def forward(self, input: Tensor) -> Tensor:
        """The module's own forward, which sees scale and shift with the leaves in place."""
        self.write_back_if_changed()
        own = {name: self.module._parameters[name] for name in self.active}
        try:
            for name, active in self.active.items():
                if active.rows is not None:
                    leaves = torch.cat(tuple(active.leaves)) if len(active.leaves) > 1 else active.leaves[0]
                    # A plain tensor in a parameter's place, for the time of this call.
                    whole: Any = active.parameter.index_copy(0, active.rows, leaves)
                    self.module._parameters[name] = whole
            output: Tensor = type(self.module).forward(self.module, input)
            return output
        finally:
            self.module._parameters.update(own)


class EmbeddingLayer(TargetedLayer):
    module: nn.Embedding

    @property
    def neuron_count(self) -> int:
        return self.module.embedding_dim

    def __init__(self, name: str, module: nn.Embedding, order: Sequence[int], sizes: Sequence[int]) -> None:
        super().__init__(name, module, order, sizes)
        if module.max_norm is not None or module.sparse:
            raise AttrGraphError(
                f"embedding {name!r} {'has sparse gradients' if module.sparse else 'rescales its own table (max_norm)'}"
                "; its features cannot be trained apart"
            )
        rows, leaf_sizes = self.rows_of_neurons()
        self.plan = Plan(rows, self._activate("weight", rows, leaf_sizes, dim=1), ())

    def forward(self, indices: Tensor) -> Tensor:
        self.write_back_if_changed()
        if self.plan.rows is None or not torch.is_grad_enabled():
            return nn.Embedding.forward(self.module, indices)
        padding = -1 if self.module.padding_idx is None else self.module.padding_idx
        weight = self.module.weight.detach()
        output: Tensor = EmbeddingFeatures.apply(
            indices, weight, padding, self.module.scale_grad_by_freq, self.plan, *self._leaves()
        )
        return output


def is_out_projection(module: nn.Module) -> bool:
    """The last projection of an attention module, which reads its weight without calling it."""
    return type(module) is NonDynamicallyQuantizableLinear
