"""Training some neurons of a network, and nothing else, at a cost that falls with their number.

The incoming weights of the chosen neurons (rows of W) and their biases are leaves of their own, the only ones that an
optimizer gets, so momentum and weight decay have no hold on the rest: a frozen weight stays what it was, bit for bit.
(Masked gradients do not achieve this: what momentum or decay has in store moves a frozen weight all the same.) Backward
computes the gradients of these rows alone, stops below the lowest trained layer, and there leaves out the columns of
the input gradient that nobody reads. After each step of an optimizer the rows are copied into the layer's own
parameter: the model is at all times an ordinary one, in its ordinary order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.optimizer import register_optimizer_step_post_hook

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.attention import AttentionLayer
from attrgraph_core.targeting.layer_kinds import (
    ConvolutionLayer,
    EmbeddingLayer,
    LinearLayer,
    ScaleLayer,
    TargetedLayer,
    is_out_projection,
)
from attrgraph_core.targeting.neuron_set import sorted_neurons

if TYPE_CHECKING:
    from attrgraph_core.targeting.optimizer_archive import OptimizerArchive

# Exact types: a subclass may compute something else than its base with its weights.
KINDS: dict[type[nn.Module], type[TargetedLayer]] = {
    nn.Linear: LinearLayer,
    nn.Conv1d: ConvolutionLayer,
    nn.Conv2d: ConvolutionLayer,
    nn.Conv3d: ConvolutionLayer,
    nn.BatchNorm1d: ScaleLayer,
    nn.BatchNorm2d: ScaleLayer,
    nn.BatchNorm3d: ScaleLayer,
    nn.LayerNorm: ScaleLayer,
    nn.GroupNorm: ScaleLayer,
    nn.Embedding: EmbeddingLayer,
    nn.MultiheadAttention: AttentionLayer,
}
TARGETABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # those with neurons in an attribution graph

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
Statistics = Literal["frozen", "updated"]


class TargetedModel(nn.Module):
    """The model while some of its neurons train: called, it calls `model`; its parameters are what trains.

    `DistributedDataParallel(targeted)` reduces the gradients of these alone.
    """

    def __init__(self, model: nn.Module, layers: Iterable[TargetedLayer]) -> None:
        super().__init__()
        self.model = model
        self.layers = tuple(layers)
        self.is_open = True  # until target_neurons is left

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.model(*inputs, **named)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """What trains: for `fc1.weight` a leaf (active neurons, ...), for `fc1.bias` one (active neurons,).

        With an archive a parameter whose neurons have taken different numbers of steps has several leaves: the second
        one is called `fc1.weight@1`.
        """
        for layer in self.layers:
            for parameter_name, active in layer.active.items():
                name = ".".join(filter(None, (prefix, layer.name, parameter_name)))
                for place, leaf in enumerate(active.leaves):
                    yield (f"{name}@{place}" if place else name), leaf

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """What an optimizer is given: the active rows, and nothing that is frozen."""
        for _, parameter in self.named_parameters():
            yield parameter

    def state_dict(self, *arguments: Any, **named: Any) -> dict[str, Any]:  # type: ignore[override]
        """The whole model's state under its ordinary names, as trained so far; it shares the model's memory."""
        self.write_back()
        return self.model.state_dict(*arguments, **named)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the whole model's state; what trains goes on from it."""
        if assign:
            raise AttrGraphError("assign=True would replace the parameters that train; leave target_neurons first")
        return self.model.load_state_dict(state_dict, strict)  # a hook brings the leaves up to it

    def write_back(self) -> None:
        """Bring the model's own parameters up to date after an update by hand through `.data`.

        After an optimizer's step, and on leaving, it is done by itself.
        """
        self._of_all_active("write_back")

    def _of_all_active(self, method: str) -> None:
        for layer in self.layers:
            for active in layer.active.values():
                getattr(active, method)()

    @property
    def trained_neuron_count(self) -> int:
        return sum(len(layer.order) for layer in self.layers)

    @property
    def trained_weight_count(self) -> int:
        """Weights and biases that train."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def trained_share(self) -> float:
        """`trained_weight_count` over all weights and biases of the model, in (0, 1]."""
        return self.trained_weight_count / sum(parameter.numel() for parameter in self.model.parameters())


@contextmanager
def target_neurons(
    model: nn.Module,
    neurons: Mapping[str, Iterable[int]],
    *,
    columns: Mapping[str, Iterable[int]] | None = None,
    statistics: Statistics = "frozen",
    archive: "OptimizerArchive | None" = None,
) -> Iterator[TargetedModel]:
    """Inside, only `neurons` of `model` train; all else stays bit for bit.

    `neurons` names rows by layer, `{"fc1": [3, 17]}`: outputs of linear layers, channels of convolutions and
    normalisation layers, features of embeddings, heads of attention (see `layer_kinds`). Give the optimizer the
    yielded model's `parameters()`, and run `model` as ever. `columns` names input columns of some of these layers: then
    only the weights from them train, and only these inputs are kept for the backward pass. With `statistics="frozen"`
    normalisation layers with running statistics stay in evaluation mode even after `model.train()`; with `"updated"`
    they follow the mode, and their statistics, not their parameters, move in training mode. With an `archive`, each
    neuron can go on with the optimizer state that it had.
    Move the model to its device before. A forward that reads a targeted layer's weight without calling the layer gets
    the newest one, and its rows no gradient.
    On leaving, by an exception too, the trained rows are in the model's own parameters (the same objects as before)
    and `requires_grad` and the modes are what they were.
    Raises AttrGraphError, before anything is changed, for a layer that does not exist, has no neurons that can be
    trained apart, shares its weights with another or is targeted already, and for a neuron or column that does not
    exist or is named twice.
    """
    if statistics not in ("frozen", "updated"):
        raise AttrGraphError(f"statistics is {statistics!r}; it is 'frozen' or 'updated'")
    chosen = sorted_neurons(neurons)
    input_columns = _checked_columns(model, columns or {}, chosen)
    for name, indices in chosen.items():
        _check_neurons(model, name, indices)
    outer = _trained_outside(model)
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters() if id(parameter) not in outer]
    modes = [(module, module.training) for module in model.modules()]
    layers = [_targeted_layer(model, name, chosen[name], input_columns.get(name), archive) for name in chosen]
    with ExitStack() as stack:
        targeted = TargetedModel(model, layers)
        stack.callback(_restore, modes, required)
        for parameter, _ in required:
            parameter.requires_grad_(False)
        for parameter in targeted.parameters():
            # One that trains as a whole is a leaf as it is: what its gradient was is for after.
            stack.callback(setattr, parameter, "grad", parameter.grad)
            parameter.grad = None
            parameter.requires_grad_(True)
        stack.callback(_close, targeted)
        if statistics == "frozen":
            freeze_statistics(model, stack)
        replaced = layers + _passed_layers(model, layers)
        for layer in replaced:
            _replace_forward(layer, stack)
        stack.callback(model.register_load_state_dict_post_hook(_read_again_after_loading(replaced)).remove)
        _without_fast_path(model, stack)
        stack.callback(register_optimizer_step_post_hook(_write_back_after_step(layers)).remove)
        yield targeted


def _close(targeted: TargetedModel) -> None:
    targeted.write_back()
    targeted.is_open = False


def _targeted_layer(
    model: nn.Module,
    name: str,
    indices: tuple[int, ...],
    columns: tuple[int, ...] | None,
    archive: "OptimizerArchive | None",
) -> TargetedLayer:
    module = model.get_submodule(name)
    groups = archive.groups(name, indices) if archive is not None else [indices]
    order = [index for group in groups for index in group]
    more: dict[str, Any] = {} if columns is None else {"columns": columns}
    return _kind_of(module)(name, module, order, [len(group) for group in groups], **more)


def _passed_layers(model: nn.Module, layers: list[TargetedLayer]) -> list[TargetedLayer]:
    """Frozen layers that may leave out columns of their input gradient, and attention whose outputs train."""
    targeted = {layer.module for layer in layers}
    passed: list[TargetedLayer] = []
    for name, module in model.named_modules():
        # The forward of another target_neurons stays.
        if module in targeted or "forward" in module.__dict__:
            continue
        kind = KINDS.get(type(module))
        if kind in (LinearLayer, ConvolutionLayer) or (
            kind is AttentionLayer and getattr(module, "out_proj", None) in targeted
        ):
            assert kind is not None
            passed.append(kind(name, module, (), ()))
    return passed


def _replace_forward(layer: TargetedLayer, stack: ExitStack) -> None:
    attributes = layer.module.__dict__
    before = attributes.get("forward")
    attributes["forward"] = layer.forward
    if before is None:
        stack.callback(attributes.pop, "forward", None)
    else:
        stack.callback(attributes.__setitem__, "forward", before)


def _write_back_after_step(layers: list[TargetedLayer]) -> Callable[..., None]:
    actives = [active for layer in layers for active in layer.active.values()]
    leaves = {id(leaf) for active in actives for leaf in active.leaves}

    def write_back(optimizer: torch.optim.Optimizer, arguments: Any, named: Any) -> None:
        # Fused optimizers leave no mark on what they changed, so that versions cannot be asked.
        if any(id(parameter) in leaves for group in optimizer.param_groups for parameter in group["params"]):
            for active in actives:
                active.write_back()

    return write_back


def _read_again_after_loading(layers: list[TargetedLayer]) -> Callable[..., None]:
    def read_again(module: nn.Module, incompatible_keys: Any) -> None:
        for layer in layers:
            layer.read_again()

    return read_again


def freeze_statistics(model: nn.Module, stack: ExitStack) -> None:
    """Keep layers with running statistics in evaluation mode until `stack` is left, even after `model.train()`."""
    # Those that an outer target_neurons keeps in evaluation mode already are left to it.
    for module in model.modules():
        moves = isinstance(module, _NormBase) and module.running_mean is not None
        if moves and "train" not in module.__dict__:
            module.eval()
            module.__dict__["train"] = _stay_in_evaluation(module)
            stack.callback(module.__dict__.pop, "train", None)


def _stay_in_evaluation(norm: nn.Module) -> Callable[[bool], nn.Module]:
    def train(mode: bool = True) -> nn.Module:
        return norm

    return train


def _without_fast_path(model: nn.Module, stack: ExitStack) -> None:
    """In evaluation mode a transformer layer without parameters that require gradients calls none of its layers."""
    if any(isinstance(module, nn.TransformerEncoderLayer) for module in model.modules()):
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)


def _restore(modes: list[tuple[nn.Module, bool]], required: list[tuple[nn.Parameter, bool]]) -> None:
    for module, training in modes:
        module.training = training
    for parameter, flag in required:
        parameter.requires_grad_(flag)


def _trained_outside(model: nn.Module) -> set[int]:
    """The parameters that an outer `target_neurons` trains."""
    forwards = [module.__dict__.get("forward") for module in model.modules()]
    owners = [getattr(forward, "__self__", None) for forward in forwards]
    return {
        id(leaf)
        for owner in owners
        if isinstance(owner, TargetedLayer)
        for active in owner.active.values()
        for leaf in active.leaves
    }


def targetable_layer(model: nn.Module, name: str) -> nn.Module:
    """The layer called `name`; AttrGraphError where its neurons cannot be trained apart from everything else."""
    modules = dict(model.named_modules(remove_duplicate=False))
    if name not in modules:
        known = ", ".join(targetable_layers(model)) or "none"
        raise AttrGraphError(f"the network has no layer {name!r}; layers with neurons are {known}")
    layer = modules[name]
    if type(layer) not in KINDS and not is_out_projection(layer):
        known = ", ".join(kind.__name__ for kind in KINDS)
        raise AttrGraphError(f"layer {name!r} is a {type(layer).__name__}; neurons can be trained of {known}")
    if is_out_projection(layer):
        _check_attention_of(modules, name)
    _check_free(layer, name)
    own = [parameter_name for parameter_name, _ in layer.named_parameters(recurse=False)]
    if not own:
        raise AttrGraphError(f"layer {name!r} has no parameters of its own: there is nothing to train")
    if "weight" in layer.__dict__ or (hasattr(layer, "weight") and "weight" not in layer._parameters):
        raise AttrGraphError(f"the weight of layer {name!r} is computed (weight or spectral norm); remove that first")
    for parameter_name in own:
        _check_unshared(model, f"{name}.{parameter_name}".removeprefix("."), getattr(layer, parameter_name))
    if isinstance(layer, nn.LayerNorm) and layer.weight.dim() != 1:
        raise AttrGraphError(f"layer {name!r} normalises over several dimensions; its neurons have no single index")
    return layer


def targetable_layers(model: nn.Module) -> dict[str, Layer]:
    """The layers that have neurons in a graph, by name, in the order in which the model lists them."""
    modules = model.named_modules()
    return {name: module for name, module in modules if isinstance(module, TARGETABLE) and type(module) in TARGETABLE}


def _kind_of(module: nn.Module) -> type[TargetedLayer]:
    return LinearLayer if is_out_projection(module) else KINDS[type(module)]


def _check_neurons(model: nn.Module, name: str, indices: tuple[int, ...]) -> None:
    module = targetable_layer(model, name)
    if any(parameter._backward_hooks for parameter in module.parameters(recurse=False)):
        raise AttrGraphError(
            f"a gradient of layer {name!r} has a hook (an unrolled convolution keeps its zeros by one), which is not "
            "called where rows train alone; choose weight entries by target_edges"
        )
    width = _kind_of(module)(name, module, (), ()).neuron_count
    if indices[-1] >= width:
        raise AttrGraphError(f"layer {name!r} has neurons 0 to {width - 1}, no neuron {indices[-1]}")


def _checked_columns(
    model: nn.Module, columns: Mapping[str, Iterable[int]], chosen: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    if not columns:
        return {}
    checked = sorted_neurons(columns, "column")
    for name, indices in checked.items():
        if name not in chosen:
            raise AttrGraphError(f"columns are named of layer {name!r}, none of whose neurons train; leave them out")
        layer: Any = targetable_layer(model, name)
        if _kind_of(layer) not in (LinearLayer, ConvolutionLayer) or getattr(layer, "groups", 1) > 1:
            raise AttrGraphError(
                f"columns cannot be chosen of layer {name!r}, a {type(layer).__name__}; they can of linear layers and "
                "of convolutions in one group"
            )
        width = layer.weight.shape[1]
        if indices[-1] >= width:
            raise AttrGraphError(f"layer {name!r} has columns 0 to {width - 1}, no column {indices[-1]}")
    return checked


def _check_attention_of(modules: Mapping[str, nn.Module], name: str) -> None:
    parent = name.rpartition(".")[0]
    if type(modules.get(parent)) is not nn.MultiheadAttention:
        raise AttrGraphError(f"layer {name!r} is not called by the module around it, {parent!r}; it cannot be trained")
    AttentionLayer(parent, modules[parent], (), ())
    _check_free(modules[parent], parent, allows_heads=True)


def _check_free(layer: nn.Module, name: str, allows_heads: bool = False) -> None:
    """The layer computes by itself, or by our forward with nothing of its own that trains."""
    forward = layer.__dict__.get("forward")
    owner = getattr(forward, "__self__", None)
    if forward is not None and not (isinstance(owner, TargetedLayer) and (allows_heads or not owner.order)):
        raise AttrGraphError(f"the forward of layer {name!r} is replaced already; leave the other target_neurons first")


def _check_unshared(model: nn.Module, own_name: str, parameter: Tensor | None) -> None:
    if parameter is None:
        return
    memory = parameter.untyped_storage().data_ptr()
    for name, other in model.named_parameters(remove_duplicate=False):
        if name != own_name and other.untyped_storage().data_ptr() == memory:
            raise AttrGraphError(
                f"{own_name!r} shares its memory with {name!r}, which would train too; target neither, or untie them"
            )
