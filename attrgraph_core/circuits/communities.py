"""Neurons that influence each other more than the rest: communities by Louvain, and core numbers, by scikit-network.

Both read the graph without its directions; communities weigh an edge by its share in its target, so that a layer with
larger numbers counts no more than others. Louvain may put together what hangs together only through neurons of other
communities (Traag et al., 2019); such a community is divided into its connected parts.
"""

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sknetwork.clustering import Louvain
from sknetwork.topology import get_core_decomposition

from attrgraph_core.circuits.flow import Flow, flow_of
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph


def communities(graph: AttributionGraph, resolution: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """A row a neuron that has an edge: layer, index, community, from 0 by size, then by its first layer and index.

    A larger `resolution` gives more and smaller ones. The same seed gives the same communities.
    """
    if resolution <= 0:
        raise AttrGraphError(f"resolution is {resolution}; it is a number above 0")
    if seed < 0:
        raise AttrGraphError(f"seed is {seed}; it is a number from 0 on")
    flow = flow_of(graph)
    rows, shares = _undirected(flow)
    if not len(rows):
        return flow.neurons.head(0)[["layer", "index"]].assign(community=pd.Series(dtype="int64"))
    found = Louvain(resolution=resolution, shuffle_nodes=True, random_state=seed % 2**32).fit_predict(shares)
    table = flow.neurons.loc[rows, ["layer", "index"]].assign(community=_connected(shares, found))
    members = table.sort_values(["layer", "index"]).groupby("community")
    names = members.agg(layer=("layer", "first"), index=("index", "first")).assign(size=-members.size())
    ranked = names.sort_values(["size", "layer", "index"]).index
    return table.assign(community=pd.Series(np.arange(len(ranked)), ranked).loc[table["community"]].to_numpy())


def core_numbers(graph: AttributionGraph) -> pd.DataFrame:
    """A row a neuron that has an edge: layer, index, core, the largest k for which it is in the k-core.

    The k-core is what is left when neurons with fewer than k edges are taken out again and again.
    """
    flow = flow_of(graph)
    rows, shares = _undirected(flow)
    cores = get_core_decomposition(shares) if len(rows) else np.zeros(0, dtype=np.int64)
    return flow.neurons.loc[rows, ["layer", "index"]].assign(core=cores.astype(np.int64))


def _connected(shares: csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Labels (neurons,) of the parts of each community that hang together by edges within it."""
    edges = shares.tocoo()
    inside = labels[edges.row] == labels[edges.col]
    within = csr_matrix((edges.data[inside], (edges.row[inside], edges.col[inside])), shape=shares.shape)
    return connected_components(within, directed=False)[1]


def _undirected(flow: Flow) -> tuple[np.ndarray, csr_matrix]:
    """The rows of the neurons that have an edge, and the shares between them in both directions."""
    # scikit-network knows the older matrices of scipy only.
    shares = csr_matrix(flow.shares)
    shares.setdiag(0)
    shares = csr_matrix(shares + shares.T)
    shares.eliminate_zeros()
    rows = np.flatnonzero(np.diff(shares.indptr))
    return rows, shares[rows][:, rows]
