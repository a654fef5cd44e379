"""Training chosen weight entries of a network and nothing else.

The entries are leaves of their own, the only thing that an optimizer gets: the rest keeps its bits, whatever momentum
or decay would do. Backward computes the gradient of a whole weight, of which the entries are then taken: entries save
optimizer state, and layers below the lowest of them are not passed, but within a layer they save no time.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.weight_entries import WeightEntries
from attrgraph_core.targeting.target_neurons import freeze_statistics


class TargetedEdges(nn.Module):
    """The model while some of its weight entries train: called, it calls `model`; its parameters are what trains."""

    def __init__(self, model: nn.Module, entries: WeightEntries) -> None:
        super().__init__()
        self.model = model
        self._entries = entries
        own = dict(model.named_parameters())
        unknown = [name for name in entries.positions if name not in own]
        if unknown:
            raise AttrGraphError(f"the network has no parameter {unknown[0]!r}; it has {', '.join(own)}")
        self._wholes = {name: own[name] for name in entries.positions}
        self._leaves = {name: nn.Parameter(self._read(name)) for name in entries.positions}

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.model(*inputs, **named)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """What trains: for `fc1.weight` a leaf (entries,)."""
        for name, leaf in self._leaves.items():
            yield f"{prefix}.{name}" if prefix else name, leaf

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """What an optimizer is given: the entries, and nothing that is frozen."""
        yield from self._leaves.values()

    def state_dict(self, *arguments: Any, **named: Any) -> dict[str, Any]:  # type: ignore[override]
        """The whole model's state under its ordinary names, as trained so far."""
        return self.model.state_dict(*arguments, **named)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the whole model's state; what trains goes on from it."""
        if assign:
            raise AttrGraphError("assign=True would replace the parameters that train; leave target_edges first")
        return self.model.load_state_dict(state_dict, strict)

    @property
    def trained_neuron_count(self) -> int:
        """Neurons with an entry among their incoming weights."""
        return sum(
            len(self._entries.indices(name, whole)[0].unique())
            for name, whole in self._wholes.items()
            if name.endswith(".weight")
        )

    @property
    def trained_weight_count(self) -> int:
        """Weight entries that train."""
        return self._entries.count

    @property
    def trained_share(self) -> float:
        """`trained_weight_count` over all weights and biases of the model, in (0, 1]."""
        return self.trained_weight_count / sum(parameter.numel() for parameter in self.model.parameters())

    def _read(self, name: str) -> Tensor:
        whole = self._wholes[name].detach()
        return whole[self._entries.indices(name, whole)].clone()

    def _write_back(self) -> None:
        with torch.no_grad():
            for name, leaf in self._leaves.items():
                whole = self._wholes[name]
                whole[self._entries.indices(name, whole)] = leaf.detach()

    def _read_again(self) -> None:
        with torch.no_grad():
            for name, leaf in self._leaves.items():
                leaf.copy_(self._read(name))

    def _take_gradient(self, name: str) -> Callable[[Tensor], None]:
        def take(whole: Tensor) -> None:
            assert whole.grad is not None
            own, leaf = whole.grad[self._entries.indices(name, whole)], self._leaves[name]
            leaf.grad = own if leaf.grad is None else leaf.grad + own
            whole.grad = None

        return take


@contextmanager
def target_edges(model: nn.Module, entries: WeightEntries) -> Iterator[TargetedEdges]:
    """Inside, only `entries` of `model` train; all else stays bit for bit, running statistics too.

    Give the optimizer the yielded model's `parameters()`, and run `model` as ever. Parameters keep their objects; on
    leaving, by an exception too, gradients, `requires_grad` and modes are what they were.
    Raises AttrGraphError, before anything is changed, for a parameter that the network does not have.
    """
    targeted = TargetedEdges(model, entries)
    modes = [(module, module.training) for module in model.modules()]
    required = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    leaves = {id(leaf) for leaf in targeted.parameters()}

    def trains(optimizer: torch.optim.Optimizer) -> bool:
        return any(id(parameter) in leaves for group in optimizer.param_groups for parameter in group["params"])

    def before_step(optimizer: torch.optim.Optimizer, arguments: Any, named: Any) -> Any:
        closure = arguments[1] if len(arguments) > 1 else named.get("closure")
        if closure is None or not trains(optimizer):
            return None

        def at_what_is_tried() -> Any:  # L-BFGS asks at several places within a step
            targeted._write_back()
            return closure()

        return (arguments[0], at_what_is_tried, *arguments[2:]), {
            name: named[name] for name in named.keys() - {"closure"}
        }

    def after_step(optimizer: torch.optim.Optimizer, arguments: Any, named: Any) -> None:
        if trains(optimizer):
            targeted._write_back()

    with ExitStack() as stack:
        stack.callback(_restore, modes, required)
        for parameter, _, _ in required:
            parameter.requires_grad_(False)
            parameter.grad = None
        for name, whole in targeted._wholes.items():
            whole.requires_grad_(True)
            stack.callback(whole.register_post_accumulate_grad_hook(targeted._take_gradient(name)).remove)
        freeze_statistics(model, stack)
        stack.callback(model.register_load_state_dict_post_hook(lambda *_: targeted._read_again()).remove)
        stack.callback(register_optimizer_step_pre_hook(before_step).remove)
        stack.callback(register_optimizer_step_post_hook(after_step).remove)
        yield targeted


def _restore(modes: list[tuple[nn.Module, bool]], required: list[tuple[nn.Parameter, bool, Tensor | None]]) -> None:
    for module, training in modes:
        module.training = training
    for parameter, flag, gradient in required:
        parameter.requires_grad_(flag)
        parameter.grad = gradient
