"""A circuit grown from the outputs back, EAP-IG's greedy rule (Hanna et al., 2024).

Of all edges into what is in the circuit already, the strongest is taken next, with its source. Every neuron of the
circuit so has a way to an output; neurons without one from an input can be taken out in the end.
"""

import heapq

import numpy as np
import pandas as pd

from attrgraph_core.circuits.flow import Flow, flow_of
from attrgraph_core.circuits.path_mass import parts_of
from attrgraph_core.circuits.pruning import without_dangling
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph


def greedy_edges(
    graph: AttributionGraph, edge_count: int = 100, output: int | None = None, connected: bool = True
) -> pd.DataFrame:
    """A row an edge, in the order taken: its ends, and step, from 1.

    Of equal edges the one whose source, then target, comes first in the graph. `connected` takes out what no path from
    an input reaches, so that there may be fewer edges than `edge_count`. Raises AttrGraphError for an output that the
    graph has not.
    """
    if edge_count < 1:
        raise AttrGraphError(f"edge_count is {edge_count}; a circuit has one edge at least")
    flow = flow_of(graph)
    order = _grow(flow, edge_count, output)
    kept = np.zeros(len(flow.edges), dtype=bool)
    kept[order] = True
    if connected:
        _, kept = without_dangling(flow, np.ones(len(flow.neurons), dtype=bool), kept)
    ends = flow.edges[["source_layer", "source_index", "target_layer", "target_index"]]
    table = ends.iloc[order].assign(step=np.arange(1, len(order) + 1))
    return table[kept[order]]


def _grow(flow: Flow, edge_count: int, output: int | None) -> list[int]:
    """Rows of edges in the order in which they are taken."""
    masses = flow.edges["abs_weight"].to_numpy()
    starts = np.searchsorted(flow.targets, np.arange(len(flow.neurons) + 1))  # edges are in the order of targets
    outputs = flow.of_kind("output") if output is None else parts_of(flow, output) > 0
    inside = outputs.copy()
    waiting: list[tuple[float, int, int, int]] = []

    def offer(neuron: int) -> None:
        for edge in range(starts[neuron], starts[neuron + 1]):
            heapq.heappush(waiting, (-masses[edge], int(flow.sources[edge]), neuron, edge))

    for neuron in np.flatnonzero(outputs):
        offer(int(neuron))
    taken: list[int] = []
    while waiting and len(taken) < edge_count:
        _, source, _, edge = heapq.heappop(waiting)
        taken.append(edge)
        if not inside[source]:
            inside[source] = True
            offer(source)
    return taken
