"""DEPARA's graph (Song et al., CVPR 2020): how a network sees a set of probes, comparable between networks.

A node is a probe with its attribution map, the gradient of its features times the probe; an edge is how alike the
features of two probes are. Two networks, or two epochs of one, are alike where their nodes and edges are: a signal for
whether to transfer from one to the other, or whether training still changes what is seen.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.checks import DIVERGED, check_inputs, check_type, device_of, refuse_shape
from attrgraph_core.attribution.evaluation import evaluation_mode, untouched
from attrgraph_core.errors import AttrGraphError


@dataclass(frozen=True)
class DeepAttributionGraph:
    """`nodes` (probes, input elements): attribution maps; `edges` (probes, probes): cosines of features, -1 to 1."""

    nodes: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True)
class GraphSimilarity:
    """`node`: mean cosine of the maps of each probe; `edge`: Spearman correlation of the edges; both -1 to 1."""

    node: float
    edge: float

    def total(self, edge_weight: float = 1.0) -> float:
        """`node + λ edge`, the paper's similarity with its λ."""
        return self.node + edge_weight * self.edge


def deep_attribution_graph(model: nn.Module, probes: Tensor, layer: str | None = None) -> DeepAttributionGraph:
    """The graph of a network on `probes` (probes, ...), by the features that module `layer`, or the network, puts out.

    A map is `x ⊙ ∂(Σ_k f_k)/∂x`. The network is left as it was; what cannot be laid out has such a graph, too. Raises
    AttrGraphError for fewer than three probes, which have no order of edges, for a module that is not there or that the
    probes do not reach, for features and maps that are not finite, and for a network and probes as `attribute`.
    """
    check_inputs(probes)
    probes = probes.to(device_of(model))
    if len(probes) < 3:
        raise AttrGraphError(f"{len(probes)} probes have no order of their edges; give three or more")
    modules = dict(model.named_modules())
    if layer is not None and layer not in modules:
        raise AttrGraphError(
            f"the network has no module {layer!r}; it has {', '.join(name for name in modules if name)}"
        )
    if not probes.is_floating_point():
        raise AttrGraphError("the probes are tokens, which have no gradient; give the network that reads embeddings")
    check_type(model, probes)
    name = "the network" if layer is None else repr(layer)
    with evaluation_mode(model), untouched(model), torch.enable_grad():
        inputs = probes.detach().clone().requires_grad_()
        found = _features(model, modules["" if layer is None else layer], inputs, name)
        (gradient,) = torch.autograd.grad(found.sum(), inputs, allow_unused=True)
    if gradient is None:
        raise AttrGraphError(f"what {name} puts out has no gradient by the probes; name another module")
    if not bool(torch.isfinite(found).all()):
        raise AttrGraphError(f"the network's features are {DIVERGED}")
    unit = nn.functional.normalize(found.detach().double(), dim=1)
    maps = (gradient * probes).flatten(1).double()
    if not bool(torch.isfinite(maps).all()):
        raise AttrGraphError(f"the network's attributions are {DIVERGED}")
    return DeepAttributionGraph(maps.cpu().numpy(), (unit @ unit.T).cpu().numpy())


def _features(model: nn.Module, module: nn.Module, inputs: Tensor, name: str) -> Tensor:
    """What the module puts out last, (samples, features)."""
    outputs: list[Any] = []

    def keep(module: nn.Module, arguments: Any, output: Any) -> None:  # before what follows changes it in place
        outputs.append(output.clone() if isinstance(output, Tensor) else output)

    hook = module.register_forward_hook(keep)
    try:
        model(inputs)
    except Exception as error:
        refuse_shape(model, inputs, error)
    finally:
        hook.remove()
    if not outputs:
        raise AttrGraphError(f"the network does not run {name}; name a module that it runs")
    found = outputs[-1]
    if not isinstance(found, Tensor):
        raise AttrGraphError(f"{name} puts out a {type(found).__name__}; name a module of one tensor")
    if not found.dim() or len(found) != len(inputs):
        raise AttrGraphError(
            f"{name} puts out {tuple(found.shape)} of {len(inputs)} probes; name a module with a row a probe"
        )
    if not found.requires_grad:
        raise AttrGraphError(f"what {name} puts out has no gradient by the probes; name another module")
    return found.reshape(len(found), -1)


def graph_similarity(first: DeepAttributionGraph, second: DeepAttributionGraph) -> GraphSimilarity:
    """How alike two networks see the same probes. Raises AttrGraphError where they are not the same in number or size.

    Maps that are zero are like none. Edges that are all equal have no order, and correlate with nothing.
    """
    if first.nodes.shape != second.nodes.shape:
        raise AttrGraphError(
            f"the graphs are of {first.nodes.shape} and {second.nodes.shape} probes and elements; give both networks "
            "the same probes"
        )
    lengths = np.linalg.norm(first.nodes, axis=1) * np.linalg.norm(second.nodes, axis=1)
    products = (first.nodes * second.nodes).sum(axis=1)
    node = float(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0).mean())
    above = np.triu_indices(len(first.edges), k=1)
    ours, theirs = first.edges[above], second.edges[above]
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return GraphSimilarity(node, 0.0)
    return GraphSimilarity(node, float(pd.Series(ours).rank().corr(pd.Series(theirs).rank())))
