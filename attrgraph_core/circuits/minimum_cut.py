"""The cheapest set of edges whose removal leaves an output without influence of any input.

Edges carry at most their |weight|; the largest flow from the inputs to the output is the least |weight| to be cut (max
flow, min cut; Dinic's algorithm of scipy). Of several such cuts the one nearest to the inputs is given.
"""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from attrgraph_core.circuits.flow import Flow, flow_of
from attrgraph_core.circuits.path_mass import parts_of
from attrgraph_core.graph.attribution_graph import AttributionGraph

LARGEST = 2**31 - 1  # scipy flows in whole numbers of 32 bits


def minimum_cut(graph: AttributionGraph, output: int | None = None) -> pd.DataFrame:
    """A row an edge of the cut between the inputs and an output, or all outputs: its ends.

    Exact up to 2⁻³⁰ of the |weight| into the output. Empty where no path leads there. Raises AttrGraphError for an
    output that the graph has not.
    """
    flow = flow_of(graph)
    ends = flow.of_kind("output") if output is None else parts_of(flow, output) > 0
    capacities = _capacities(flow, ends)
    cut = np.zeros(len(flow.edges), dtype=bool)
    if capacities.any():
        behind = _reachable(flow, ends, capacities)
        cut = behind[flow.sources] & ~behind[flow.targets] & (capacities > 0)
    return flow.edges.loc[cut, ["source_layer", "source_index", "target_layer", "target_index"]]


def _capacities(flow: Flow, ends: np.ndarray) -> np.ndarray:
    """Whole numbers (edges,). No more flows than enters the output: what is wider than that need not be told apart."""
    masses = flow.edges["abs_weight"].to_numpy()
    most = masses[ends[flow.targets]].sum()
    if most == 0:
        return np.zeros(len(masses), dtype=np.int32)
    whole = np.rint(np.minimum(masses / most, 1.0) * (LARGEST // 2)).astype(np.int32)
    whole = np.where(masses > most, LARGEST // 2 + len(masses), whole)
    return np.where(masses > 0, np.maximum(whole, 1), 0).astype(np.int32)


def _reachable(flow: Flow, ends: np.ndarray, capacities: np.ndarray) -> np.ndarray:
    """Which neurons the inputs still reach when as much flows as can, (neurons,)."""
    count = len(flow.neurons)
    source, sink, inputs, outputs = count, count + 1, np.flatnonzero(flow.of_kind("input")), np.flatnonzero(ends)
    rows = np.concatenate([flow.sources, np.full(len(inputs), source), outputs])
    columns = np.concatenate([flow.targets, inputs, np.full(len(outputs), sink)])
    wide = np.full(len(inputs) + len(outputs), LARGEST, dtype=np.int32)
    network = csr_array((np.concatenate([capacities, wide]), (rows, columns)), shape=(count + 2, count + 2))
    left = csr_array(network - maximum_flow(network, source, sink).flow)
    left.eliminate_zeros()
    behind = np.zeros(count + 2, dtype=bool)
    behind[breadth_first_order(left, source, return_predecessors=False)] = True
    return behind[:count]
