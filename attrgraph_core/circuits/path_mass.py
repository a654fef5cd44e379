"""How much of all paths from the inputs to the outputs leads through a neuron.

The strength of a path is the product of its edges' shares times its output's part. What leads through a neuron is the
sum over the ways behind it (from the inputs) times the sum over the ways before it (to the outputs); 1 is everything.
"""

import numpy as np
import pandas as pd

from attrgraph_core.circuits.flow import Flow, flow_of, sum_over_paths
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph


def path_mass(graph: AttributionGraph, output: int | None = None) -> pd.DataFrame:
    """A row a neuron: layer, index, mass (0 to 1), to_outputs and from_inputs, whose product it is.

    With `output` the paths to that output only. Raises AttrGraphError for an output that the graph has not.
    """
    flow = flow_of(graph)
    to_outputs = sum_over_paths(parts_of(flow, output), flow.shares)
    from_inputs = sum_over_paths(flow.of_kind("input").astype(float), flow.shares.T.tocsr())
    return flow.scored(to_outputs * from_inputs, "mass").assign(to_outputs=to_outputs, from_inputs=from_inputs)


def parts_of(flow: Flow, output: int | None) -> np.ndarray:
    """The outputs' parts (neurons,), or 1 for one output alone."""
    if output is None:
        return flow.output_parts
    chosen = flow.of_kind("output") & (flow.neurons["index"] == output).to_numpy()
    if not chosen.any():
        known = flow.neurons.loc[flow.of_kind("output"), "index"]
        raise AttrGraphError(f"the graph has no output {output}; its outputs are {', '.join(map(str, known))}")
    return chosen.astype(float)
