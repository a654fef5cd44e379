"""Personalised PageRank on an attribution graph: a walk that starts at what is explained and steps back along edges.

A walker at a neuron goes on, with probability `damping`, to one of its sources, by their share in its stored influence;
else it begins anew. Neurons are ranked by how often it is there. On a graph without cycles the rank is a finite sum
over paths. SUMMIT (Hohman et al., 2019) lets the walk begin at every neuron of a layer in proportion to how much the
class makes of it, and keeps of each layer the neurons that hold most of the layer's rank.
"""

import numpy as np
import pandas as pd

from attrgraph_core.circuits.flow import flow_of, sum_over_paths
from attrgraph_core.circuits.path_mass import parts_of
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph


def personalised_pagerank(graph: AttributionGraph, output: int | None = None, damping: float = 0.85) -> pd.DataFrame:
    """A row a neuron: layer, index, rank, of a walk that begins at one output, or at all outputs alike.

    The walk begins at an output with weight 1 - damping, as in Graph Data Science: ranks do not add up to 1.
    """
    _check_damping(damping)
    flow = flow_of(graph, of_stored=True)
    start = flow.of_kind("output").astype(float) if output is None else parts_of(flow, output)
    return flow.scored(sum_over_paths((1 - damping) * start, damping * flow.shares), "rank")


def summit_neurons(graph: AttributionGraph, layer_mass: float = 0.5, damping: float = 0.85) -> pd.DataFrame:
    """For each layer the fewest neurons that hold `layer_mass` of its rank: layer, index, rank, layer_share.

    The walk begins anywhere, in each layer by the neurons' absolute attribution. Of equal neurons the one with the
    lower index comes first. Raises AttrGraphError for a `layer_mass` outside (0, 1].
    """
    _check_damping(damping)
    if not 0 < layer_mass <= 1:
        raise AttrGraphError(f"layer_mass is {layer_mass}; it is the share of a layer's rank to keep, in (0, 1]")
    flow = flow_of(graph, of_stored=True)
    layers, masses = flow.neurons["layer"], flow.neurons["abs_attribution"]
    start = _shares_of_layer(masses, layers).to_numpy()
    rank = flow.scored(sum_over_paths((1 - damping) * start, damping * flow.shares), "rank")
    rank["layer_share"] = _shares_of_layer(rank["rank"], layers)
    ranked = rank.sort_values(["rank", "index"], ascending=[False, True])
    before = ranked.groupby("layer", sort=False)["layer_share"].cumsum() - ranked["layer_share"]
    kept = (before < layer_mass - 1e-12) & (ranked["layer_share"] > 0)
    return ranked[kept].sort_index()


def _shares_of_layer(values: pd.Series, layers: pd.Series) -> pd.Series:
    totals = values.groupby(layers.to_numpy()).transform("sum")
    return (values / totals.replace(0.0, np.nan)).fillna(0.0)


def _check_damping(damping: float) -> None:
    if not 0 <= damping < 1:
        raise AttrGraphError(f"damping is {damping}; it is the probability that the walk goes on, from 0 to below 1")
