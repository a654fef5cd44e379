"""Neurons that influence each other more than the rest: communities by Louvain, and core numbers, by networkx.

Both read the graph without its directions; communities weigh an edge by its share in its target, so that a layer with
larger numbers counts no more than others.
"""

import networkx as nx
import pandas as pd

from attrgraph_core.circuits.flow import Flow, flow_of
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph


def communities(graph: AttributionGraph, resolution: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """A row a neuron that has an edge: layer, index, community, from 0 by size, then by its first layer and index.

    A larger `resolution` gives more and smaller ones. The same seed gives the same communities.
    """
    if resolution <= 0:
        raise AttrGraphError(f"resolution is {resolution}; it is a number above 0")
    flow = flow_of(graph)
    found = nx.community.louvain_communities(_undirected(flow), weight="weight", resolution=resolution, seed=seed)
    names = list(zip(flow.neurons["layer"], flow.neurons["index"], strict=True))
    ranked = sorted(found, key=lambda members: (-len(members), min(names[row] for row in members)))
    place = {neuron: number for number, members in enumerate(ranked) for neuron in members}
    rows = sorted(place)
    return flow.neurons.loc[rows, ["layer", "index"]].assign(community=[place[row] for row in rows])


def core_numbers(graph: AttributionGraph) -> pd.DataFrame:
    """A row a neuron that has an edge: layer, index, core, the largest k for which it is in the k-core.

    The k-core is what is left when neurons with fewer than k edges are taken out again and again.
    """
    flow = flow_of(graph)
    numbers = nx.core_number(_undirected(flow))
    rows = sorted(numbers)
    return flow.neurons.loc[rows, ["layer", "index"]].assign(core=[numbers[row] for row in rows])


def _undirected(flow: Flow) -> nx.Graph:
    graph = nx.Graph()
    ends = zip(flow.sources.tolist(), flow.targets.tolist(), flow.share.tolist(), strict=True)
    graph.add_weighted_edges_from((source, target, share) for source, target, share in ends if source != target)
    return graph
