"""An attribution graph as a `networkx.DiGraph`, and back.

A node is named '<layer>/<index>' and has layer, index, kind, attribution and abs_attribution; an edge has weight and
abs_weight; the graph has method, target, baseline, sample_count and completeness_delta.
"""

import networkx as nx

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.canonical_graph import NEURON_COLUMNS
from attrgraph_core.interchange.tables import EdgeRow, NeuronRow, about, edge_rows, graph_of_rows, neuron_rows


def to_networkx(graph: AttributionGraph) -> nx.DiGraph:
    """The graph with its nodes in the order of its neurons."""
    made = nx.DiGraph(**about(graph))
    for row in neuron_rows(graph):
        made.add_node(f"{row[0]}/{row[1]}", **dict(zip(NEURON_COLUMNS, row, strict=True)))
    for source_layer, source, target_layer, target, weight, abs_weight in edge_rows(graph):
        made.add_edge(f"{source_layer}/{source}", f"{target_layer}/{target}", weight=weight, abs_weight=abs_weight)
    return made


def from_networkx(made: nx.DiGraph) -> AttributionGraph:
    """The graph of a directed graph whose nodes and edges have the properties of `to_networkx`.

    Layers come in the order of their first node. `abs_weight` is |weight| where it is missing. Raises AttrGraphError
    naming the node or edge and what it lacks, and for a graph that is not directed, or has parallel edges.
    """
    if not made.is_directed() or made.is_multigraph():
        raise AttrGraphError("an attribution graph is directed and has one edge from a neuron to another")
    neurons: list[NeuronRow] = []
    for node, known in made.nodes(data=True):
        missing = [name for name in NEURON_COLUMNS if name not in known]
        if missing:
            raise AttrGraphError(f"node {node!r} has no {missing[0]!r}; a node needs {', '.join(NEURON_COLUMNS)}")
        neurons.append(tuple(known[name] for name in NEURON_COLUMNS))
    ends = dict(zip(made.nodes, (row[:2] for row in neurons), strict=True))
    edges: list[EdgeRow] = []
    for source, target, known in made.edges(data=True):
        if "weight" not in known:
            raise AttrGraphError(f"the edge from {source!r} to {target!r} has no 'weight'")
        weight = known["weight"]
        edges.append((*ends[source], *ends[target], weight, known.get("abs_weight", abs(weight))))
    words = {"method": "unknown", "target": "label", "baseline": "unknown", "sample_count": 1,
             "completeness_delta": 0.0}  # fmt: skip
    return graph_of_rows(neurons, edges, **{name: made.graph.get(name, default) for name, default in words.items()})
