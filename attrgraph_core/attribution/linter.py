"""What a method can and cannot do with a network, before any work: where, why, and what to change."""

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from attrgraph_core.attribution.checks import DIVERGED, admitted
from attrgraph_core.attribution.deeplift import CONTEXT
from attrgraph_core.attribution.gradient_times_activation import GradientTimesActivation
from attrgraph_core.attribution.method import Method
from attrgraph_core.attribution.methods import attribution_method
from attrgraph_core.attribution.network_pass import NetworkPass, known_tokens
from attrgraph_core.attribution.structure import NetworkStructure
from attrgraph_core.attribution.tracing import operation_name
from attrgraph_core.errors import AttrGraphError

_PIECEWISE_LINEAR = ("ReLU", "LeakyReLU", "PReLU", "relu", "leaky_relu", "relu_")


@dataclass(frozen=True)
class Finding:
    """`refused`: no graph is made. `note`: one is made, and `what` says what it does not show."""

    severity: str
    place: str
    what: str
    change: str


def lint(model: nn.Module, inputs: Tensor, method: str | Method = "deeplift") -> list[Finding]:
    """Findings about `model` for inputs like `inputs` (samples, ...), refusals first; none where all is well.

    Raises AttrGraphError for an unknown method only.
    """
    asked = attribution_method(method)
    try:
        with admitted(model, inputs) as (structure, own):
            _check_values(structure, own)
    except AttrGraphError as error:
        what, _, change = str(error).partition("; ")
        return [Finding("refused", type(model).__name__, what, change or "change what is named, or its place")]
    refused = [Finding("refused", found.place, found.what, found.change) for found in asked.obstacles(structure)]
    return refused + _notes(structure, asked)


def _check_values(structure: NetworkStructure, inputs: Tensor) -> None:
    """Raise AttrGraphError for tokens that are none, and where a sample has no score that is finite."""
    with torch.no_grad(), known_tokens(structure):
        scores = NetworkPass(structure).run(inputs)
    if not bool(torch.isfinite(scores).any(dim=1).all()):
        raise AttrGraphError(f"the network's scores are {DIVERGED}")


def _notes(structure: NetworkStructure, method: Method) -> list[Finding]:
    found = [Finding("note", own.place, own.what, own.change) for own in method.omissions(structure)]
    masks = structure.has("context")  # of one that is made of another the first is named
    context = [
        node for node in structure.has(*CONTEXT) if node not in masks or not set(masks) & set(node.all_input_nodes)
    ]
    if context and method.holds_context:
        found += [
            Finding(
                "note", _name(node, structure),
                "is held at what it is for the input: what it owes to the input itself is not explained",
                "take conductance, whose derivative goes through it",
            )
            for node in context
        ]  # fmt: skip
    if isinstance(method, GradientTimesActivation) and not method.holds_context:
        smooth = [node for node in structure.has("elementwise") if not _is_piecewise_linear(node, structure)]
        found += [
            Finding(
                "note", _name(node, structure),
                f"breaks the completeness of {method.name}: its gradient at the input is not its share of the score",
                "take deeplift or conductance where shares must add up",
            )
            for node in [*smooth, *context, *structure.has("multiply")]
        ]  # fmt: skip
    if method.uses_baseline and structure.reads_tokens:
        found.append(
            Finding("note", "input", "tokens have token 0 as their baseline by default",
                    "name padding or another neutral token: baseline=tensor of one input")
        )  # fmt: skip
    return found


def _is_piecewise_linear(node: fx.Node, structure: NetworkStructure) -> bool:
    return operation_name(node, structure.traced).split(" at ")[0] in _PIECEWISE_LINEAR


def _name(node: fx.Node, structure: NetworkStructure) -> str:
    return operation_name(node, structure.traced)
