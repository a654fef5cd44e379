"""How many of the strongest ways from an input to an output lead through a neuron.

For each pair of an input and an output with a path between, the strongest path is the one whose product of shares is
largest; of several equally strong ones each counts in part (Brandes, 2008, betweenness of a subset of pairs, on the
cost -log(share)).
"""

import numpy as np
import pandas as pd

from attrgraph_core.circuits.flow import Flow, edge_matrix, flow_of, has_cycle, longest_path, sum_over_paths
from attrgraph_core.graph.attribution_graph import AttributionGraph

SAME = 1e-12  # two products of the same shares in another order differ by less than this


def betweenness(graph: AttributionGraph) -> pd.DataFrame:
    """A row a neuron: layer, index, betweenness, the share of pairs of input and output; 0 for inputs and outputs."""
    flow = flow_of(graph)
    inputs, outputs = flow.of_kind("input"), flow.of_kind("output")
    through, pairs = np.zeros(len(flow.neurons)), 0
    for output in np.flatnonzero(outputs):
        strength = _strongest(flow, int(output))
        tight = np.isclose(strength[flow.targets] * flow.share, strength[flow.sources], rtol=SAME, atol=0.0)
        tight &= strength[flow.sources] > 0
        ways = edge_matrix(tight.astype(float), flow.targets, flow.sources, len(flow.neurons))
        ways.eliminate_zeros()
        to_output = sum_over_paths((np.arange(len(strength)) == output).astype(float), ways)
        reached = inputs & (to_output > 0)
        part = np.divide(1.0, to_output, out=np.zeros(len(to_output)), where=reached)
        through += to_output * sum_over_paths(part, ways.T.tocsr())
        pairs += int(reached.sum())
    through[inputs | outputs] = 0.0
    return flow.scored(through / max(pairs, 1), "betweenness")


def _strongest(flow: Flow, output: int) -> np.ndarray:
    """The largest product of shares over the paths from each neuron to an output, (neurons,); 0 where there is none."""
    strength = np.zeros(len(flow.neurons))
    strength[output] = 1.0
    for _ in range(longest_path(len(strength))):
        longer = strength.copy()
        np.maximum.at(longer, flow.sources, strength[flow.targets] * flow.share)
        if (longer == strength).all():
            return strength
        strength = longer
    raise has_cycle(len(strength))
