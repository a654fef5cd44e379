"""Update locking: how many layers' forward and backward a layer's update waits for (Jaderberg et al., 2017).

Under back-propagation a layer waits for all above it; one that learns from a projection of the label (DRTP) waits for
none. It is read off autograd's graph of one step's loss, where what waits for what is a path.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.peer import Peer
from attrgraph_core.targeting.target_neurons import targetable_layers

ACCUMULATES = "AccumulateGrad"


def update_locking(model: nn.Module, inputs: Tensor, labels: Tensor, peer: Peer | None = None) -> pd.DataFrame:
    """A row a layer: layer, trains, waits_for, of the step that `peer` (back-propagation without one) would make.

    `waits_for` is the number of layers on the longest way that the gradient comes from the loss to the layer; it is 0
    where `trains` is false. Call it where the step is made: inside `target_neurons`, `target_edges` or the peer. A
    normalisation layer counts to the layer that reads it. No step is made and no gradient is left.
    Raises AttrGraphError where no layer trains.
    """
    layers = targetable_layers(model)
    outputs: dict[str, list[torch.autograd.graph.Node]] = {name: [] for name in layers}
    with ExitStack() as stack:
        for name, layer in layers.items():
            handle = layer.register_forward_hook(
                lambda module, given, output, name=name: outputs[name].extend(
                    [] if output.grad_fn is None else [output.grad_fn]
                )
            )
            stack.callback(handle.remove)
        stack.enter_context(evaluation_mode(model))
        stack.enter_context(torch.enable_grad())
        _, loss = (peer or Peer(model)).loss(inputs, labels)
    if loss.grad_fn is None:
        raise AttrGraphError("no layer trains: the loss depends on nothing that requires a gradient")
    owners = {node: name for name, nodes in outputs.items() for node in nodes}
    depths = _layers_above(loss.grad_fn, owners)
    rows = []
    for name, nodes in outputs.items():
        reached = [node for node in nodes if node in depths and _has_own_weights(node, owners)]
        rows.append((name, bool(reached), max((depths[node] for node in reached), default=0)))
    return pd.DataFrame(rows, columns=["layer", "trains", "waits_for"])


def _layers_above(
    root: torch.autograd.graph.Node, owners: dict[torch.autograd.graph.Node, str]
) -> dict[torch.autograd.graph.Node, int]:
    """For each node under the loss, the most layers on a way to it, without its own."""
    depths = {root: 0}
    for node in _in_order(root):
        passed = depths[node] + (node in owners)
        for below in _below(node):
            depths[below] = max(depths.get(below, 0), passed)
    return depths


def _in_order(root: torch.autograd.graph.Node) -> list[torch.autograd.graph.Node]:
    """Every node after all nodes that lead to it."""
    finished: list[torch.autograd.graph.Node] = []
    seen = {root}
    stack: list[tuple[torch.autograd.graph.Node, Iterator[torch.autograd.graph.Node]]] = [(root, _below(root))]
    while stack:
        node, rest = stack[-1]
        below = next(rest, None)
        if below is None:
            finished.append(node)
            stack.pop()
        elif below not in seen:
            seen.add(below)
            stack.append((below, _below(below)))
    return finished[::-1]


def _has_own_weights(start: torch.autograd.graph.Node, owners: dict[torch.autograd.graph.Node, str]) -> bool:
    """Whether something trains between this layer's output and the layers that it reads."""
    nodes, seen = [start], {start}
    while nodes:
        node = nodes.pop()
        if ACCUMULATES in node.name():
            return True
        for below in _below(node):
            if below not in seen and below not in owners:
                seen.add(below)
                nodes.append(below)
    return False


def _below(node: torch.autograd.graph.Node) -> Iterator[torch.autograd.graph.Node]:
    return (below for below, _ in node.next_functions if below is not None)
