"""Renewing the least used neurons of a network while it trains, so that it keeps able to learn.

Renewal of a neuron, in this order: the biases that it feeds take over its mean contribution; its outgoing weights
become zero; its incoming weights and bias are drawn anew by its layer's own initialisation; the optimizer forgets the
state of both. From the second step on nothing changes what the network computes: at the moment of renewal the function
is that with the neuron held at its running mean (over samples and positions), and for a dead neuron the very same.
"""

import copy
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.recycling.hidden_layer import HiddenLayer, Reader, hidden_layers
from attrgraph_core.recycling.utility import UTILITIES, RunningUse

CAPS = {True: 0.2, False: 0.03}  # the most of a layer at once, under optimizers with Adam's moments and others
Init = Callable[[nn.Module], object]


class RecyclingWarning(UserWarning):
    """What recycles other than was asked for, or not at all."""


class NeuronRecycler:
    """A callback for a training loop: `recycler.step()` after each `optimizer.step()`; `close()` at the end.

    Every `every` steps a share `rate` of each hidden layer's neurons older than `grace` steps is renewed, those of
    least `utility` (see `recycling.utility`); what is less than one neuron adds up. `cap` is
    the most of a layer at once: by default 3 %, and 20 % under Adam, beyond which networks did not recover. `init`
    draws a layer's weights, called with a copy of the layer: by default `reset_parameters`.
    The hooks on the layers see forward and backward passes in training mode alone, and add no pass of their own.
    Raises AttrGraphError for a value outside its range, and at the first step for a network none of whose layers can be
    recycled; layers that cannot are named in a RecyclingWarning.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        rate: float,
        every: int = 100,
        grace: int | None = None,
        utility: str = "influence",
        decay: float = 0.99,
        cap: float | None = None,
        init: Init | None = None,
        seed: int = 0,
    ) -> None:
        check_settings(rate, every, utility, decay, cap, grace)
        self.model, self.optimizer = model, optimizer
        self.rate, self.every, self.utility, self.decay = rate, every, utility, decay
        self.grace = 2 * every if grace is None else grace
        has_moments = any("betas" in group for group in optimizer.param_groups)
        self.cap = CAPS[has_moments] if cap is None else cap
        if rate > self.cap:
            warnings.warn(
                f"rate {rate:g} is beyond the cap of {self.cap:g} of a layer at once under "
                f"{type(optimizer).__name__}; the cap holds (give cap= to raise it)",
                RecyclingWarning,
                stacklevel=2,
            )
        self.init: Init = init or _reset_parameters
        self.steps = 0
        self.layers: list[HiddenLayer] = []
        self.skipped: dict[str, str] = {}
        self._uses: dict[str, list[RunningUse]] = {}  # one a reader: each may read the neurons otherwise
        self._born: dict[str, Tensor] = {}
        self._owed: dict[str, float] = {}
        self._renewed: dict[str, int] = {}
        self._random = torch.Generator().manual_seed(seed)
        self._handles: list[Any] = [model.register_forward_pre_hook(self._prepare)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def step(self) -> dict[str, list[int]]:
        """Count a step, and every `every` steps renew; the renewed neurons by layer, mostly none."""
        if not self.layers:
            raise AttrGraphError("the model was not run since the recycler was made; call step() after a training step")
        self.steps += 1
        if self.steps % self.every:
            return {}
        return {layer.name: chosen for layer in self.layers if (chosen := self._renew_least(layer))}

    def renew(self, layer_name: str, neurons: list[int]) -> None:
        """Renew these neurons of a layer now, whatever their utility and age."""
        layer = next((layer for layer in self.layers if layer.name == layer_name), None)
        if layer is None:
            known = ", ".join(layer.name for layer in self.layers) or "none before the model was run"
            raise AttrGraphError(f"layer {layer_name!r} cannot be recycled; those that can are {known}")
        if not all(0 <= index < layer.width for index in neurons):
            raise AttrGraphError(f"layer {layer_name!r} has neurons 0 to {layer.width - 1}, not {sorted(neurons)}")
        self._renew(layer, torch.tensor(neurons, dtype=torch.int64))

    def utilities(self, layer_name: str) -> Tensor:
        """The utility of each neuron of a layer, (neurons,)."""
        layer = next(layer for layer in self.layers if layer.name == layer_name)
        return self._utility(layer)

    def table(self) -> pd.DataFrame:
        """A row a layer: neurons, renewed so far, mean age in steps, and the share of neurons that are dead: that gave
        0 to all samples of the last `every` passes (of fewer, while there were not as many)."""
        rows = [
            (
                layer.name, layer.width, self._renewed[layer.name],
                float(self.steps - self._born[layer.name].float().mean()),
                float(torch.stack([use.is_silent(self.every) for use in self._uses[layer.name]]).all(0).float().mean()),
            )
            for layer in self.layers
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["layer", "neurons", "renewed", "age", "dead_share"])

    # What is seen of the passes

    def _prepare(self, model: nn.Module, given: tuple[Any, ...]) -> None:
        if self.layers or not (model.training and torch.is_grad_enabled()):
            return
        self.layers, self.skipped = hidden_layers(model, given[0])
        self._check_optimizer()
        for name, reason in self.skipped.items():
            warnings.warn(f"layer {name!r} is not recycled: {reason}", RecyclingWarning, stacklevel=2)
        for layer in self.layers:
            weight = layer.module.weight
            assert isinstance(weight, Tensor)
            self._uses[layer.name] = [RunningUse(layer.width, self.decay, weight.device) for _ in layer.readers]
            self._born[layer.name] = torch.zeros(layer.width, dtype=torch.int64)
            self._owed[layer.name], self._renewed[layer.name] = 0.0, 0
            for reader, use in zip(layer.readers, self._uses[layer.name], strict=True):
                hook = self._see(use, reader, layer.width)
                self._handles.append(reader.module.register_forward_pre_hook(hook))

    def _see(self, use: RunningUse, reader: Reader, width: int) -> Callable[..., None]:
        def see(module: nn.Module, given: tuple[Any, ...]) -> None:
            if not (module.training and torch.is_grad_enabled()):
                return
            values = given[0].detach()
            use.add_activations(
                _by_neuron(module, values, reader, width, True), _by_neuron(module, values.abs(), reader, width, True)
            )
            if given[0].requires_grad:
                given[0].register_hook(lambda gradient: _add_influence(module, values, gradient))

        def _add_influence(module: nn.Module, values: Tensor, gradient: Tensor) -> None:
            use.add_influence(_by_neuron(module, values * gradient, reader, width, False))

        return see

    def _check_optimizer(self) -> None:
        trained = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        for layer in self.layers:
            for module in (layer.module, *(reader.module for reader in layer.readers)):
                if id(module.weight) not in trained:
                    raise AttrGraphError(
                        f"the optimizer does not train the weights into or out of layer {layer.name!r}; give it the "
                        "model's own parameters"
                    )

    # Choosing and renewing

    def _utility(self, layer: HiddenLayer) -> Tensor:
        uses = self._uses[layer.name]
        if self.utility == "influence":
            return torch.stack([use.mean_influence() for use in uses]).sum(dim=0)
        if self.utility == "random":
            return torch.rand(layer.width, generator=self._random).to(uses[0].size.device)
        sizes = torch.stack([use.mean_size() for use in uses])
        if self.utility == "dormancy":
            return sizes.sum(dim=0) / sizes.sum(dim=0).mean().clamp_min(torch.finfo(torch.float32).tiny)
        return (sizes * torch.stack([_outgoing(reader, layer.width) for reader in layer.readers])).sum(dim=0)

    def _renew_least(self, layer: HiddenLayer) -> list[int]:
        old = (self.steps - self._born[layer.name]) > self.grace
        # Of those old enough, as in continual backprop: else what is owed to a whole grace would fall due at once.
        self._owed[layer.name] += min(self.rate, self.cap) * int(old.sum())
        count = min(int(self._owed[layer.name] + 1e-9), int(old.sum()))
        if not count:
            return []
        self._owed[layer.name] -= count
        utility = self._utility(layer).cpu().masked_fill(~old, torch.inf)
        chosen = utility.argsort(stable=True)[:count]
        self._renew(layer, chosen)
        return sorted(chosen.tolist())

    @torch.no_grad()
    def _renew(self, layer: HiddenLayer, chosen: Tensor) -> None:
        uses = self._uses[layer.name]
        is_chosen = torch.zeros(layer.width, dtype=torch.bool)
        is_chosen[chosen] = True
        for reader, use in zip(layer.readers, uses, strict=True):
            columns = ((reader.columns >= 0) & is_chosen[reader.columns.clamp_min(0)]).nonzero().squeeze(1)
            self._silence(reader, columns, use.mean_activation())
        fresh = copy.deepcopy(layer.module)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=self._random)))
            self.init(fresh)
        for name, parameter in layer.module.named_parameters(recurse=False):
            rows = chosen.to(parameter.device)
            parameter[rows] = getattr(fresh, name)[rows]
            self._forget_state(parameter, (rows,))
        for use in uses:
            use.forget(chosen.to(use.size.device))
        self._born[layer.name][chosen] = self.steps
        self._renewed[layer.name] += len(chosen)

    def _silence(self, reader: Reader, columns: Tensor, means: Tensor) -> None:
        """Zero what leads out of some neurons; biases take over what it gave on average."""
        weight, bias = reader.module.weight, reader.module.bias
        assert isinstance(weight, nn.Parameter)
        columns = columns.to(weight.device)
        if isinstance(bias, nn.Parameter):
            own = weight[:, columns].flatten(2).sum(dim=2) if weight.dim() > 2 else weight[:, columns]
            bias.add_(own @ means[reader.columns.to(weight.device)[columns]].to(own.dtype))
        weight[:, columns] = 0.0
        self._forget_state(weight, (slice(None), columns))

    def _forget_state(self, parameter: nn.Parameter, index: tuple[Any, ...]) -> None:
        for value in self.optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                value[index] = 0.0


def _by_neuron(module: nn.Module, values: Tensor, reader: Reader, width: int, average: bool) -> Tensor:
    """By neuron, (neurons,): the mean of `values` over samples and positions, or Σ_samples |Σ_positions values|."""
    is_linear = isinstance(module, nn.Linear)
    values = values.reshape(-1, values.shape[-1]) if is_linear else values.flatten(2).sum(dim=2)
    if average:  # over samples first, which leaves little to sort by neuron
        means = _sorted_by_neuron(values.mean(dim=0, keepdim=True), reader, width)[0]
        return means / _positions(module, reader, width).to(means)
    return _sorted_by_neuron(values, reader, width).abs().sum(dim=0)


def _sorted_by_neuron(values: Tensor, reader: Reader, width: int) -> Tensor:
    """Sums (rows, neurons) of values (rows, columns)."""
    if reader.is_plain:
        return values
    places = reader.columns.to(values.device)
    known = places >= 0
    return values.new_zeros(len(values), width).index_add_(1, places[known], values[:, known])


def _positions(module: nn.Module, reader: Reader, width: int) -> Tensor:
    """How many elements of what is read each neuron has."""
    places = reader.columns if isinstance(module, nn.Linear) else reader.places
    return torch.bincount(places[places >= 0], minlength=width).clamp_min(1)


def _outgoing(reader: Reader, width: int) -> Tensor:
    """Sum of |w| out of each neuron."""
    weight = reader.module.weight
    assert isinstance(weight, Tensor)
    own = weight.detach().abs().sum(dim=[place for place in range(weight.dim()) if place != 1])
    columns = reader.columns.to(own.device)
    known = columns >= 0
    return own.new_zeros(width).index_add_(0, columns[known], own[known])


def _reset_parameters(module: nn.Module) -> None:
    module.reset_parameters()  # type: ignore[operator]


def check_settings(
    rate: float, every: int, utility: str, decay: float = 0.99, cap: float | None = None, grace: int | None = None
) -> None:
    """Raises AttrGraphError for a setting of a `NeuronRecycler` that is not known, or out of range."""
    if not 0 < rate <= 1:
        raise AttrGraphError(f"rate is {rate!r}; it is the share of a layer that is renewed at once, above 0 to 1")
    if every < 1 or every != int(every):
        raise AttrGraphError(f"every is {every!r}; it is a whole number of steps from 1 on")
    if utility not in UTILITIES:
        raise AttrGraphError(f"unknown utility {utility!r}; known are {', '.join(UTILITIES)}")
    if not 0 <= decay < 1:
        raise AttrGraphError(f"decay is {decay!r}; it is from 0 to below 1")
    if cap is not None and not 0 < cap <= 1:
        raise AttrGraphError(f"cap is {cap!r}; it is the most of a layer at once, above 0 to 1")
    if grace is not None and grace < 0:
        raise AttrGraphError(f"grace is {grace!r}; it is a number of steps from 0 on")
