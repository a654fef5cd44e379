"""Laying a traced network out: which layers of neurons it has, and what each layer reads.

Two samples are sent through the network once, with a second tensor beside every tensor: the neuron that each element
stands for. A view, a concatenation or a skip connection moves these identities as it moves the values, so a layer's
sources are read off and not guessed from the order of modules. Averaging keeps an identity where a window holds one
neuron only. What mixes neurons without being a layer (an unknown operation, a product with a weight matrix outside a
module) has no identity, and a layer that reads it is refused by name, with the operation that is to blame. The second
sample shows that samples stay apart and come first. Constant is what no input reaches, and nothing else; a mask made of
tokens (padding) is context, which depends on the sample, and no identity may depend on it.

At the end the layout's pass is compared with the model itself: a trace does not see everything.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_flatten, tree_map

from attrgraph_core.attribution.evaluation import evaluation_mode, untouched
from attrgraph_core.attribution.model_check import refuse_another_function
from attrgraph_core.attribution.operations import TAKING_A_SHAPE, WEIGHTED, is_scaled_dot_product, operation_kind
from attrgraph_core.attribution.sources import NeuronMap, Sources, linear_sources, spatial_sources
from attrgraph_core.attribution.structure import Layer, NetworkStructure
from attrgraph_core.attribution.tracing import (
    leaves,
    map_leaves,
    module_path,
    operation_name,
    operation_of,
    trace,
)
from attrgraph_core.errors import AttrGraphError

CONSTANT = -1.0  # the identity of what no input reaches; what mixes neurons has NaN
TRANSPOSES = ("T", "mT", "H", "mH")  # attributes that are tensors
PICKS = (operator.getitem, torch.index_select, "index_select")  # by their second argument
CASTS = ("to", "float", "double", "type_as")  # methods that change the precision, which identities must not lose
OF_ONE = ("weighted", "embedding", "elementwise", "max_pool", "affine", "normalise")  # kinds that read one tensor
SAMPLE_OFFSET = float(1 << 24)  # between the identities of the two samples


def network_structure(model: nn.Module, inputs: Tensor) -> NetworkStructure:
    """Trace `model` in evaluation mode and lay it out for inputs of the shape of `inputs` (samples, ...).

    Leaves no trace in the model. Raises AttrGraphError naming the operation where the network cannot be traced, uses a
    layer twice, mixes neurons or samples outside a layer, or ends in something else than scores (samples, classes);
    and where what is laid out does not compute what the model does.
    """
    sample = inputs[:1].detach()
    with evaluation_mode(model), untouched(model), torch.no_grad():
        layout = _Layout(trace(model, inputs), type(model).__name__, torch.cat([sample, sample]))
        layout.run(layout.inputs)
        structure = layout.structure()
        refuse_another_function(model, structure, inputs)
    return structure


@dataclass(frozen=True)
class _Tracked:
    """A value and the identities of its elements; `reason` says what mixed them. Context has those of constants."""

    value: Tensor
    ids: Tensor
    reason: str = ""
    is_context: bool = False

    @property
    def is_constant(self) -> bool:
        """Whether no neuron reaches it."""
        return bool((self.ids == CONSTANT).all())


class _Refused(AttrGraphError):
    """Passes through fx.Interpreter unchanged."""


class _Layout(fx.Interpreter):
    def __init__(self, traced: fx.GraphModule, model_name: str, inputs: Tensor):
        super().__init__(traced, garbage_collect_values=True)
        self.extra_traceback = False
        self.model_name = model_name
        self.inputs = inputs
        self.layers: list[Layer] = []
        self.kinds: dict[fx.Node, str] = {}
        self.count = inputs[0].numel()
        self.input_map = NeuronMap.of_elements(inputs.shape[1:])
        self.outputs: Tensor | None = None

    def structure(self) -> NetworkStructure:
        output_layer = self._output_layer()
        layers = tuple(layer if layer is not output_layer else replace(layer, kind="output") for layer in self.layers)
        of_node: dict[fx.Node, tuple[Layer, ...]] = {}
        for layer in layers:
            of_node[layer.node] = (*of_node.get(layer.node, ()), layer)
        return NetworkStructure(
            traced=self.module,  # type: ignore[arg-type]
            input_map=self.input_map,
            layers=layers,
            kinds=self.kinds,
            output_layer=layers[self.layers.index(output_layer)],
            reads_tokens=not self.inputs.is_floating_point(),
            layers_of_node=of_node,
        )

    # What is seen of each node

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "placeholder":
            return self._placeholder(n)
        if n.op == "output":
            return self._output(n)
        if n.op == "get_attr":
            return super().run_node(n)
        arguments, keywords = self.fetch_args_kwargs_from_env(n)
        operation = operation_of(n, self._traced)
        if operation in TAKING_A_SHAPE:
            arguments, keywords = (arguments[0], *_values(arguments[1:])), _values(keywords)
        tracked = _tracked_in((arguments, keywords))
        if tracked and operation in (operator.getitem, getattr) and isinstance(arguments[0], tuple | list):
            return self._part_of_result(n, operation, *arguments)
        kind = operation_kind(operation) or "mixing"
        if tracked and operation is getattr:
            kind = "linear" if arguments[1] in TRANSPOSES else "mixing"
            kind = kind if isinstance(getattr(arguments[0].value, arguments[1]), Tensor) else "constant"
        if all(part.is_constant for part in tracked) and kind != "constant":
            kind = "context" if any(part.is_context for part in tracked) else "constant"
        if kind in OF_ONE and (not _is_neural(arguments[0]) or len([part for part in tracked if _is_neural(part)]) > 1):
            kind = "mixing"
        if kind == "constant":
            result = self._call(n, *_values((arguments, keywords)))
        else:
            kind, result = getattr(self, f"see_{kind}")(n, operation, arguments, keywords)
            found = _tracked_in(result)
            if found and all(part.is_constant and not part.is_context for part in found):
                kind = "constant"
        self.kinds[n] = kind
        return result

    def _placeholder(self, node: fx.Node) -> Any:
        own = torch.arange(self.count, dtype=torch.float64, device=self.inputs.device).reshape(
            1, *self.inputs.shape[1:]
        )
        return _Tracked(self.inputs, torch.cat([own, own + SAMPLE_OFFSET]))

    def _part_of_result(self, node: fx.Node, operation: Any, results: Any, which: Any) -> Any:
        """One of several results of an operation."""
        made_by = node.args[0]
        assert isinstance(made_by, fx.Node)
        if self.kinds[made_by] == "attention" and which == 1 and node.users:
            raise _Refused(
                f"the attention weights that {operation_name(made_by, self._traced)} returns are read, for which a "
                "graph has no place; leave them, need_weights=False"
            )
        self.kinds[node] = "context" if self.kinds[made_by] == "context" else "linear"
        return operation(results, which)

    def _output(self, node: fx.Node) -> Any:
        result = self.fetch_args_kwargs_from_env(node)[0][0]
        if not isinstance(result, _Tracked) or result.is_constant:
            found = "a constant" if isinstance(result, Tensor | _Tracked) else f"a {type(result).__name__}"
            raise _Refused(
                f"{self.model_name} returns {found}; it must return one tensor of class scores (samples, classes)"
            )
        if result.value.dim() != 2:
            shape = ", ".join(map(str, result.value.shape[1:]))
            raise _Refused(
                f"{self.model_name} returns a tensor of shape (samples, {shape}); it must be one score a class, "
                "(samples, classes)"
            )
        self._refuse_mixed(result, "the network's output")
        self.outputs = result.ids[0]
        return result.value

    def _output_layer(self) -> Layer:
        assert self.outputs is not None
        ids = self.outputs.long()
        for layer in self.layers:
            own = torch.arange(layer.offset, layer.offset + layer.width, device=ids.device)
            if torch.equal(ids, own):
                return layer
        raise AttrGraphError(
            f"the {len(ids)} scores that {self.model_name} returns are not the neurons of one layer; end it in a layer "
            "whose outputs are the scores"
        )

    # Operations that keep identities

    def see_linear(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        everything = (arguments, keywords)
        if _is_random(operation, arguments, keywords):
            raise _Refused(
                f"{operation_name(node, self._traced)} drops values in evaluation, too; give it training=self.training"
            )
        values = self._call(node, *_values(everything))
        reason = _reason(everything)
        name = operation_name(node, self._traced)
        tracked = _tracked_in(everything)
        context = [part.value for part in tracked if part.is_context]
        picked_by = [
            part for part in tracked if not part.value.is_floating_point() and (part.is_context or part.reason)
        ]
        if operation in PICKS:
            picked_by += _tracked_in(arguments[1:])
        if picked_by:
            return "mixing", self._lost(values, reason or f"{name}, which picks by what the input is")
        if any(part.value.is_floating_point() for part in tracked) and not _is_float(values):
            return "mixing", self._lost(values, reason or f"{name}, which rounds")
        if operation in CASTS:
            return "linear", _Tracked(values, arguments[0].ids, reason)
        ids = self._carry(lambda part: self._call(node, *part), everything)
        if values is None or any(part is None for part in tree_flatten(ids)[0]):
            return "mixing", self._lost(values, reason or name)
        result = tree_map(lambda value, own: _Tracked(value, own, reason or self._why(node, own)), values, ids)
        constants = [*context, *(part for part in leaves(everything) if isinstance(part, Tensor))]
        shifted = any(part.is_floating_point() and bool((part != 0).any()) for part in constants)
        return ("affine" if shifted else "linear"), result

    def see_choose(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        """One or the other by a mask: a neuron stays itself where a mask of the sample's puts zero in its place."""
        value = self._call(node, *_values((_copied(arguments), _copied(keywords))))
        given = _choice(operation, arguments, keywords)
        name = operation_name(node, self._traced)
        if (reason := _reason((arguments, keywords))) or given is None:
            return "mixing", self._lost(value, reason or name)
        mask, chosen, other = given
        if isinstance(mask, _Tracked) and not mask.is_constant:
            return "mixing", self._lost(value, f"{name}, whose mask is made of neurons")
        if not isinstance(mask, _Tracked):  # the same for all samples
            ids = torch.where(mask, _ids(chosen, value), _ids(other, value)).expand(value.shape)
            is_shifted = any(not _is_neural(part) and not _is_zero(part) for part in (chosen, other))
            return ("affine" if is_shifted else "linear"), _Tracked(value, ids)
        neural, filled = (chosen, other) if _is_neural(chosen) else (other, chosen)
        goes_to_maximum = all(operation_kind(operation_of(user, self._traced)) == "max_pool" for user in node.users)
        if _is_neural(filled) or not (_is_zero(filled) or goes_to_maximum):
            why = "which fills with something else than zero where the input says so"
            return "mixing", self._lost(value, f"{name}, {why}")
        return "linear", _Tracked(value, neural.ids.expand(value.shape))

    def see_context(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        """A mask made of tokens, or what is made of masks: no identity, and not the same for all samples."""
        values = self._call(node, *_values((_copied(arguments), _copied(keywords))))

        def held(part: Any) -> Any:
            if not isinstance(part, Tensor):
                self._refuse_number(node, part)
                return part
            if part.shape[:1] != self.inputs.shape[:1]:
                raise _Refused(
                    f"{operation_name(node, self._traced)} makes a mask whose first dimension is not that of the "
                    "samples"
                )
            return _Tracked(part, torch.full_like(part, CONSTANT, dtype=torch.float64), is_context=True)

        return "context", tree_map(held, values)

    def see_elementwise(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        first = arguments[0]
        safe = (_copied(arguments), _copied(keywords))
        value = self._call(node, *_values(safe))
        return "elementwise", _Tracked(value, first.ids.expand(value.shape), first.reason)

    def see_affine(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        if operation.running_mean is None:
            raise _Refused(
                f"{node.target!r} keeps no running statistics, so its samples depend on each other; give it "
                "track_running_stats=True or use another normalisation"
            )
        first = arguments[0]
        return "affine", _Tracked(self._call(node, *_values((arguments, keywords))), first.ids, first.reason)

    def see_normalise(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        first = arguments[0]
        if getattr(operation, "track_running_stats", False):
            return self.see_affine(node, operation, arguments, keywords)
        return "normalise", _Tracked(self._call(node, *_values((arguments, keywords))), first.ids, first.reason)

    def see_max_pool(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        value = self._call(node, *_values((arguments, keywords)))
        if not isinstance(value, Tensor):
            raise _Refused(f"{operation_name(node, self._traced)} returns indices; let it return its values only")
        first = arguments[0]

        def pooled(ids: Tensor) -> Tensor:
            return self._call(node, (ids, *_values(arguments[1:])), _values(keywords))

        largest = pooled(first.ids)
        smallest = -pooled(-torch.where(first.ids == CONSTANT, torch.inf, first.ids))
        same = (largest == smallest) | (largest == CONSTANT)
        ids = torch.where(same, largest, torch.nan)
        return "max_pool", _Tracked(value, ids, first.reason or self._why(node, ids))

    def see_softmax(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        value = self._call(node, *_values((arguments, keywords)))
        return "softmax", self._lost(value, operation_name(node, self._traced))

    def see_attend(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        value = self._call(node, *_values((arguments, keywords)))
        name = operation_name(node, self._traced)
        if is_scaled_dot_product(operation):
            places = ("query", "key", "value", "attn_mask", "dropout_p")
            named = dict(zip(places, arguments, strict=False)) | keywords
            if named.get("dropout_p", 0.0):
                raise _Refused(f"{name} drops weights in evaluation, too; give it dropout_p=0 there")
            query, key = _values((named["query"], named["key"]))
            weights_shape = (*query.shape[:-1], key.shape[-2])
            averaged = named["value"]
        else:
            weights, averaged = (*arguments, *keywords.values())[:2]
            if not isinstance(averaged, _Tracked) or (_is_neural(weights) and not _is_lost(weights)):
                return "mixing", self._lost(value, name)
            weights_shape = (weights.value if isinstance(weights, _Tracked) else weights).shape
        if not _is_neural(averaged):
            return "mixing", self._lost(value, name)
        uniform = torch.ones(weights_shape, dtype=torch.float64, device=value.device)
        ids = self._carry(lambda part: uniform @ part, averaged)
        return "attend", _Tracked(value, ids, averaged.reason or self._why(node, ids))

    def see_divide(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        value = self._call(node, *_values((arguments, keywords)))
        if _is_neural(arguments[0]) and not _is_neural(arguments[1]):
            return "linear", _Tracked(value, arguments[0].ids.expand(value.shape), arguments[0].reason)
        return "mixing", self._lost(value, _reason(arguments[:1]) or operation_name(node, self._traced))

    def see_mixing(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        tracked = _tracked_in((arguments, keywords))
        values = self._call(node, *_values((_copied(arguments), _copied(keywords))))
        are_tokens = all(not part.value.is_floating_point() and not part.reason for part in tracked)
        if are_tokens and isinstance(values, Tensor) and values.dtype == torch.bool:
            return self.see_context(node, operation, arguments, keywords)
        for part in leaves(values):
            self._refuse_number(node, part)
        what = " of several tensors of neurons" if operation_kind(operation) in OF_ONE else ""
        if isinstance(values, Tensor) and values.dtype == torch.bool:
            what = ", a mask made of neurons"
        reason = f"{operation_name(node, self._traced)}{what}, for which no rule is known"
        return "mixing", self._lost(values, _reason((arguments, keywords)) or reason)

    def _refuse_number(self, node: fx.Node, part: Any) -> None:
        if isinstance(part, bool | int | float):
            raise _Refused(
                f"{operation_name(node, self._traced)} makes a number of a whole batch, so its samples depend on each "
                "other; compute with tensors (samples, ...)"
            )

    # Operations that have neurons

    def see_weighted(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        values = arguments[0]
        name = str(node.target)
        if len(arguments) + len(keywords) > 1:
            raise _Refused(f"layer {name!r} is given more than its input (output_size?); say it when the layer is made")
        if not any(type(operation).forward is kind.forward for kind in WEIGHTED):
            raise _Refused(
                f"{name!r} is a {type(operation).__name__}, whose forward is not that of its parent in torch.nn"
            )
        self._check_read(values, name)
        output = operation(values.value)
        if isinstance(operation, nn.Linear):
            if values.value.dim() < 2:
                raise _Refused(f"layer {name!r} reads a tensor without a dimension of samples")
            sources = linear_sources(values.ids[0])
            neurons = NeuronMap.of_dimension(output.shape[1:], output.dim() - 2)
        else:
            if values.value.dim() != operation.weight.dim():
                raise _Refused(
                    f"layer {name!r} reads a tensor of {values.value.dim()} dimensions, without one of samples"
                )
            sources = spatial_sources(values.ids[0], operation)
            neurons = NeuronMap.of_dimension(output.shape[1:], 0)
        kind = "unit" if isinstance(operation, nn.Linear) else "channel"
        layer = self._layer(name, kind, "weighted", node, operation, neurons, sources, [values.ids[0]])
        return "weighted", self._tracked_output(output, layer)

    def see_embedding(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        tokens = arguments[0]
        name = str(node.target)
        if operation.max_norm is not None:
            raise _Refused(f"embedding {name!r} has max_norm, by which every look-up changes its weights")
        self._check_read(tokens, name)
        output = operation(tokens.value)
        neurons = NeuronMap.of_dimension(output.shape[1:], output.dim() - 2)
        sources = linear_sources(tokens.ids[0].reshape(-1))
        layer = self._layer(name, "unit", "embedding", node, operation, neurons, sources, [tokens.ids[0]])
        return "embedding", self._tracked_output(output, layer)

    def see_attention(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        name = str(node.target)
        named = dict(zip(("query", "key", "value"), arguments, strict=False)) | keywords
        if not operation.batch_first:
            raise _Refused(f"attention {name!r} has samples in the second dimension; make it with batch_first=True")
        if operation.bias_k is not None or operation.add_zero_attn:
            raise _Refused(f"attention {name!r} has add_bias_kv or add_zero_attn, for which no rule is known")
        values = named["value"]
        if not _is_neural(values):
            raise _Refused(f"attention {name!r} reads constant values")
        self._check_read(values, name)
        width = operation.embed_dim
        projected = values.value.new_zeros(*values.value.shape[:-1], width)
        heads = self._layer(
            name, "head", "heads", node, operation,
            NeuronMap.of_groups(projected.shape[1:], projected.dim() - 2, operation.num_heads),
            linear_sources(values.ids[0]), [values.ids[0]],
        )  # fmt: skip
        query = named["query"]
        length = (query.value if isinstance(query, _Tracked) else query).shape[-2]
        mixed = NeuronMap.of_groups((length, width), 1, operation.num_heads)
        output_ids = mixed.index.reshape(length, width).to(torch.float64) + heads.offset
        output = operation(*_values(arguments), **_values(keywords))
        projection = self._layer(
            f"{name}.out_proj", "unit", "weighted", node, operation.out_proj,
            NeuronMap.of_dimension((length, width), 1), linear_sources(output_ids.to(values.ids.device)), [output_ids],
        )  # fmt: skip
        weights = self._lost(output[1], f"the weights of {operation_name(node, self._traced)}")
        return "attention", (self._tracked_output(output[0], projection), weights)

    def _join(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any, product: bool) -> tuple[str, Any]:
        """Two tensors added or multiplied: a constant keeps the identities of the other one, else a junction."""
        value = self._call(node, *_values((_copied(arguments), _copied(keywords))))
        tracked = [part for part in arguments[:2] if _is_neural(part)]
        if (reason := _reason(tracked)) or any(map(_is_neural, leaves((arguments[2:], keywords)))):
            return "mixing", self._lost(value, reason or operation_name(node, self._traced))
        if len(tracked) == 1:
            (own,) = tracked
            return ("linear" if product else "affine"), _Tracked(value, own.ids.expand(value.shape))
        first, second = (own.ids.expand(value.shape) for own in tracked)
        met = (first == second)[(first != CONSTANT) & (second != CONSTANT)]
        if not product and len(met) and bool(met.all()):  # the same neurons, elsewhere or averaged
            return "linear", _Tracked(value, torch.maximum(first, second))
        if bool(met.any()):
            name = operation_name(node, self._traced)
            return "mixing", self._lost(value, f"{name}, which joins a neuron with itself")
        name = self._junction_name(node, "product" if product else "sum")
        for part in tracked:
            self._check_read(part, name)
        reads = [part.ids[0].expand(value.shape[1:]) for part in tracked]
        neurons, sources = _junction([own.clone() for own in reads])
        kind = "product" if product else "sum"
        layer = self._layer(name, kind, "junction", node, None, neurons, sources, reads)
        return ("multiply" if product else "add"), self._tracked_output(value, layer)

    def see_add(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        return self._join(node, operation, arguments, keywords, product=False)

    def see_multiply(self, node: fx.Node, operation: Any, arguments: Any, keywords: Any) -> tuple[str, Any]:
        return self._join(node, operation, arguments, keywords, product=True)

    def _junction_name(self, node: fx.Node, what: str) -> str:
        path = module_path(node)
        taken = {layer.name for layer in self.layers}
        base = f"{path}.{what}" if path else what
        names = [base, *(f"{base}_{number}" for number in range(2, len(taken) + 3))]
        return next(name for name in names if name not in taken)

    # Helpers

    @property
    def _traced(self) -> fx.GraphModule:
        return self.module  # type: ignore[return-value]

    def _call(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        return getattr(super(), node.op)(node.target, tuple(arguments), keywords)

    def _layer(
        self, name: str, kind: str, operation: str, node: fx.Node, module: nn.Module | None, neurons: NeuronMap,
        sources: Sources, reads: list[Tensor],
    ) -> Layer:  # fmt: skip
        if any(layer.name == name or (module is not None and layer.module is module and layer.operation == operation)
               for layer in self.layers):  # fmt: skip
            raise _Refused(
                f"layer {name!r} is used more than once; a neuron must stand for one place. Give each place a layer of "
                "its own (they may share their weights)"
            )
        read = tuple(own.cpu().long() for own in reads)
        layer = Layer(name, kind, operation, node, module, neurons, sources, self.count, read)
        self.layers.append(layer)
        self.count += layer.width
        if self.count >= SAMPLE_OFFSET:
            raise _Refused(f"the network has more than {int(SAMPLE_OFFSET)} neurons, input elements among them")
        return layer

    def _tracked_output(self, output: Tensor, layer: Layer) -> _Tracked:
        own = layer.neurons.index.to(output.device).to(torch.float64).reshape(1, *output.shape[1:]) + layer.offset
        return _Tracked(output, torch.cat([own, own + SAMPLE_OFFSET]))

    def _carry(self, operation: Callable[[Any], Any], arguments: Any) -> Any:
        """Identities after a linear operation: kept where all that is averaged has the same one.

        The operation is applied to an indicator of what has an identity, to the identity, and to a number that is
        drawn from it: an average of several is no longer the number drawn from the averaged identity.
        """

        def applied(function: Callable[[Tensor], Tensor]) -> Any:
            def identified(part: Any) -> Any:
                if isinstance(part, _Tracked):
                    return function(part.ids)
                is_float = isinstance(part, Tensor) and part.is_floating_point()
                return torch.zeros_like(part, dtype=torch.float64) if is_float else part

            return operation(map_leaves(identified, arguments))

        def known(ids: Tensor) -> Tensor:
            return (~(ids == CONSTANT)).to(torch.float64)

        weight = applied(known)
        total = applied(lambda ids: known(ids) * (ids + 1))
        drawn = applied(lambda ids: known(ids) * _draw(ids))
        return tree_map(_single_identity, weight, total, drawn)

    def _check_read(self, values: _Tracked, name: str) -> None:
        self._refuse_mixed(values, f"layer {name!r}")
        first, second = values.ids[0], values.ids[-1]
        apart = (first == CONSTANT) & (second == CONSTANT) | (second == first + SAMPLE_OFFSET)
        if len(values.ids) != 2 or not bool(apart.all()):
            raise _Refused(f"layer {name!r} reads a tensor whose first dimension is not that of the samples")

    def _refuse_mixed(self, values: _Tracked, reader: str) -> None:
        if _is_lost(values):
            by_weights = "average by weights @ values" if reader.startswith("layer") else "return the scores before it"
            hint = f"; {by_weights}" if "softmax" in values.reason.lower() else ""
            raise _Refused(f"{reader} reads what mixes neurons outside a layer: {values.reason}{hint}")

    def _why(self, node: fx.Node, ids: Tensor) -> str:
        return operation_name(node, self._traced) if bool(ids.isnan().any()) else ""

    def _lost(self, values: Any, reason: str) -> Any:
        def lose(part: Any) -> Any:
            if not isinstance(part, Tensor):
                return part
            return _Tracked(part, torch.full_like(part, torch.nan, dtype=torch.float64), reason)

        return tree_map(lose, values)


def _tracked_in(arguments: Any) -> list[_Tracked]:
    return [part for part in leaves(arguments) if isinstance(part, _Tracked)]


def _is_neural(part: Any) -> bool:
    """Whether neurons reach it, known or lost."""
    return isinstance(part, _Tracked) and not part.is_constant


def _values(arguments: Any) -> Any:
    """The arguments with values in the place of what is tracked."""
    return map_leaves(lambda part: part.value if isinstance(part, _Tracked) else part, arguments)


def _choice(operation: Any, arguments: Any, keywords: Any) -> tuple[Any, Any, Any] | None:
    """The mask, what is there where it is true, and what is there else; None where they are not told apart."""
    if operation in (torch.where, "where"):
        given = arguments if operation is torch.where else (arguments[1], arguments[0], *arguments[2:])
        return tuple(given) if len(given) == 3 and not keywords else None
    given = dict(zip(("input", "mask", "value"), arguments, strict=False)) | keywords
    return (given["mask"], given["value"], given["input"]) if len(given) == 3 else None


def _ids(part: Any, like: Tensor) -> Tensor:
    """Identities of a tensor or a number."""
    return part.ids if isinstance(part, _Tracked) else torch.full_like(like, CONSTANT, dtype=torch.float64)


def _is_zero(part: Any) -> bool:
    if isinstance(part, _Tracked):
        return False  # if it is here, it may not be for another sample
    return not bool(part.any()) if isinstance(part, Tensor) else part == 0


def _copied(arguments: Any) -> Any:
    """Copies, for operations that work in place."""
    return map_leaves(
        lambda part: replace(part, value=part.value.clone()) if isinstance(part, _Tracked) else part, arguments
    )


def _is_random(operation: Any, arguments: Any, keywords: Any) -> bool:
    """Whether a functional dropout is on: it is so by default, in evaluation, too."""
    if not getattr(operation, "__name__", "").startswith("dropout"):
        return False
    probability = keywords.get("p", arguments[1] if len(arguments) > 1 else 0.5)
    return bool(keywords.get("training", arguments[2] if len(arguments) > 2 else True)) and probability > 0


def _is_float(values: Any) -> bool:
    return all(part.is_floating_point() for part in leaves(values) if isinstance(part, Tensor))


def _reason(arguments: Any) -> str:
    return next((part.reason for part in _tracked_in(arguments) if part.reason), "")


def _is_lost(values: _Tracked) -> bool:
    return bool(values.ids.isnan().any())


def _draw(ids: Tensor) -> Tensor:
    """A number of [0, 1) a whole number, that no average of others is likely to hit."""
    scattered = torch.sin(ids * 12.9898 + 1.0) * 43758.5453
    return scattered - scattered.floor()


def _single_identity(weight: Tensor, total: Tensor, drawn: Tensor) -> Tensor:
    nothing = weight == 0
    mean = total / weight.where(~nothing, 1.0) - 1
    ids = mean.round()
    kept = (
        (weight > 0) & ((drawn / weight.where(~nothing, 1.0)) - _draw(ids)).abs().lt(1e-9) & (mean - ids).abs().lt(1e-4)
    )
    unknown = torch.full_like(ids, torch.nan)
    return torch.where(nothing & ~total.isnan(), torch.full_like(ids, CONSTANT), torch.where(kept, ids, unknown))


def _junction(operands: list[Tensor]) -> tuple[NeuronMap, Sources]:
    """Neurons of two joined tensors: one a pair of joined neurons.

    Where each neuron of one operand meets one neuron of the other at most, a position with a constant in place of the
    one belongs to the pair of the other: a residual stream has one neuron a feature, the class token's included.
    """
    first, second = (ids.reshape(-1).long() for ids in operands)
    both = (first >= 0) & (second >= 0)
    pairs = torch.unique(torch.stack([first[both], second[both]]), dim=1)
    one_to_one = all(len(torch.unique(side)) == pairs.shape[1] for side in pairs)
    if one_to_one and pairs.shape[1]:
        for own, other, ends in ((first, second, pairs), (second, first, pairs.flip(0))):
            order = torch.argsort(ends[0])
            place = torch.searchsorted(ends[0][order], own).clamp_max(ends.shape[1] - 1)
            partner = ends[1][order][place]
            meets = (own >= 0) & (other < 0) & (ends[0][order][place] == own)
            other[meets] = partner[meets]
    joined, index = torch.unique(torch.stack([first, second]), dim=1, return_inverse=True)
    shape = operands[0].shape
    return NeuronMap.of_index(shape, index, joined.shape[1]), Sources.of_junction(joined.T.cpu())
