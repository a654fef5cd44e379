"""DeepLiftShap as Captum has it: DeepLIFT by hooks on the modules of activations, averaged over a background set.

It needs every activation to be a module of its own that Captum knows; what it would get wrong is refused. Our
`deepshap` has no such need, and edges. The hooks are put on a copy of the network that shares its weights. Captum:
`DeepLiftShap`.
"""

import copy
import warnings

from captum import attr
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR
from torch import Tensor, fx, nn

from attrgraph_core.attribution.method import Obstacle
from attrgraph_core.attribution.neuron_methods.neuron_method import InputMethod
from attrgraph_core.attribution.neuron_methods.tapped_network import TappedNetwork, sample_rows
from attrgraph_core.attribution.operations import ADAPTIVE_MAX_POOLS
from attrgraph_core.attribution.structure import NetworkStructure
from attrgraph_core.attribution.target import Target
from attrgraph_core.attribution.tracing import operation_name, operation_of

_MIXING = ("normalise", "softmax", "attend", "attention", "multiply", "divide")
_CHANGE = "take deepshap, which handles it"


class DeepLiftShap(InputMethod):
    name = "deeplift_shap"
    uses_baseline = True
    fewest_baselines = 2
    largest_gap = 0.01
    when_incomplete = "Captum's DeepLIFT is not complete on this network or target; take deepshap"

    def rows_per_sample(self, background_count: int) -> int:
        return 2 * background_count

    def obstacles(self, structure: NetworkStructure) -> list[Obstacle]:
        found = [
            Obstacle(operation_name(node, structure.traced), "is not complete by Captum's DeepLIFT", _CHANGE)
            for node in structure.has(*_MIXING)
        ]
        seen: set[str] = set()
        for node in structure.has("elementwise", "max_pool"):
            name = operation_name(node, structure.traced)
            if not _is_known(node, structure):
                found.append(Obstacle(name, "is no module that Captum's DeepLIFT knows", f"make it one, or {_CHANGE}"))
            elif name in seen:
                found.append(Obstacle(name, "is used more than once", f"give each place its own, or {_CHANGE}"))
            seen.add(name)
        return super().obstacles(structure) + found

    def at_input(self, network: TappedNetwork, inputs: Tensor, baselines: Tensor) -> Tensor:
        hooked = _Hooked(network.structure.traced, network.target)
        with warnings.catch_warnings():  # of its own hooks, which no network of the user's has
            warnings.filterwarnings("ignore", "Setting (forward|backward)", UserWarning)
            return attr.DeepLiftShap(hooked).attribute(inputs, baselines, additional_forward_args=sample_rows(inputs))


class _Hooked(nn.Module):
    """The target's scores from a copy of the network that shares parameters and buffers, for hooks."""

    def __init__(self, traced: fx.GraphModule, target: Target):
        super().__init__()
        tensors = (*traced.parameters(), *traced.buffers())
        self.network = copy.deepcopy(traced, {id(tensor): tensor for tensor in tensors})
        self.target = target

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        return self.target.part(rows).score(self.network(inputs))


def _is_known(node: fx.Node, structure: NetworkStructure) -> bool:
    operation = operation_of(node, structure.traced)
    return type(operation) in SUPPORTED_NON_LINEAR and not isinstance(operation, ADAPTIVE_MAX_POOLS)
