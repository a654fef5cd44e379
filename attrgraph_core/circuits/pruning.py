"""Cumulative-influence pruning, circuit-tracer's rule (Ameisen et al., 2025; `prune_graph` of circuit-tracer).

Each neuron's absolute incoming weights are made to sum to 1; its influence is the sum over all paths to the outputs,
weighted by the outputs' parts. The most influential neurons that hold `node_threshold` of all influence are kept, with
inputs and outputs. In the graph of these an edge's score is its share times the influence of its target, and the edges
that hold `edge_threshold` of all scores are kept. What is left without a way in or out goes, until nothing dangles.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from attrgraph_core.circuits.flow import Flow, edge_matrix, flow_of, sum_over_paths
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph

NODE_THRESHOLD = 0.8
EDGE_THRESHOLD = 0.98


@dataclass(frozen=True)
class Pruned:
    """What of a flow is kept. `neurons` (neurons,) and `edges` (edges,) of True and False; `influence` (neurons,) in
    the whole graph, `edge_influence` (edges,) in that of the kept neurons."""

    flow: Flow
    neurons: np.ndarray
    edges: np.ndarray
    influence: np.ndarray
    edge_influence: np.ndarray


def prune(
    graph: AttributionGraph, node_threshold: float = NODE_THRESHOLD, edge_threshold: float = EDGE_THRESHOLD
) -> Pruned:
    """A graph's most influential neurons and edges. Inputs and outputs stay in, with or without edges.

    Raises AttrGraphError for a threshold outside 0 to 1.
    """
    for name, value in (("node_threshold", node_threshold), ("edge_threshold", edge_threshold)):
        if not 0 <= value <= 1:
            raise AttrGraphError(f"{name} is {value}; it is the share of influence to keep, from 0 to 1")
    flow = flow_of(graph, of_stored=True)
    influence = sum_over_paths(flow.output_parts, flow.shares) - flow.output_parts
    ends = flow.of_kind("input") | flow.of_kind("output")
    neurons = _most(influence, node_threshold) | ends
    edge_influence = _edge_influence(flow, neurons)
    edges = _most(edge_influence, edge_threshold) & neurons[flow.sources] & neurons[flow.targets]
    return Pruned(flow, *without_dangling(flow, neurons, edges), influence, edge_influence)


def without_dangling(flow: Flow, neurons: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same neurons and edges less those that no kept edge enters or none leaves; inputs and outputs stay."""
    ends = flow.of_kind("input") | flow.of_kind("output")
    neurons, edges = neurons.copy(), edges.copy()
    while True:
        count = len(neurons)
        has_out = np.bincount(flow.sources[edges], minlength=count) > 0
        has_in = np.bincount(flow.targets[edges], minlength=count) > 0
        left = neurons & (ends | (has_out & has_in))
        if (left == neurons).all():
            return neurons, edges
        neurons = left
        edges &= neurons[flow.sources] & neurons[flow.targets]


def pruned_neurons(
    graph: AttributionGraph, node_threshold: float = NODE_THRESHOLD, edge_threshold: float = EDGE_THRESHOLD
) -> pd.DataFrame:
    """A row a neuron that `prune` keeps with an edge: layer, index, influence."""
    found = prune(graph, node_threshold, edge_threshold)
    flow = found.flow
    joined = np.zeros(len(found.neurons), dtype=bool)
    joined[flow.sources[found.edges]] = joined[flow.targets[found.edges]] = True
    scores = np.where(flow.of_kind("output"), flow.output_parts, found.influence)
    return flow.scored(scores, "influence")[joined]


def pruned_edges(
    graph: AttributionGraph, node_threshold: float = NODE_THRESHOLD, edge_threshold: float = EDGE_THRESHOLD
) -> pd.DataFrame:
    """A row an edge that `prune` keeps: its ends, and influence."""
    found = prune(graph, node_threshold, edge_threshold)
    ends = found.flow.edges[["source_layer", "source_index", "target_layer", "target_index"]]
    return ends.assign(influence=found.edge_influence)[found.edges]


def _edge_influence(flow: Flow, neurons: np.ndarray) -> np.ndarray:
    """The score of each edge in the graph of the kept neurons, its shares made to sum to 1 anew; (edges,)."""
    between = neurons[flow.sources] & neurons[flow.targets]
    masses = np.where(between, flow.edges["abs_weight"].to_numpy(), 0.0)
    total_in = np.bincount(flow.targets, weights=masses, minlength=len(neurons))
    share = np.divide(masses, total_in[flow.targets], out=np.zeros(len(masses)), where=masses > 0)
    matrix = edge_matrix(share, flow.targets, flow.sources, len(neurons))
    return share * sum_over_paths(flow.output_parts, matrix)[flow.targets]


def _most(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Which scores are at least that one with which, from the largest on, `threshold` of their sum is reached."""
    if not scores.any():
        return np.zeros(len(scores), dtype=bool)
    ordered = np.sort(scores)[::-1]
    reached = np.cumsum(ordered) / scores.sum()
    place = min(int(np.searchsorted(reached, threshold)), len(ordered) - 1)
    return (scores >= ordered[place]) & (scores > 0)
