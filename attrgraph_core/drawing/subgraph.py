"""What of a graph is drawn: the neurons and edges that a query's table names."""

from dataclasses import replace

import pandas as pd

from attrgraph_core.circuits.circuit import Circuit, circuit_of
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph

ENDS = ["source_layer", "source_index", "target_layer", "target_index"]


def subgraph(graph: AttributionGraph, table: pd.DataFrame) -> AttributionGraph:
    """The graph with no more than a table's neurons, and its edges: those that it names, or all between its neurons.

    Raises AttrGraphError for a table that names neither neurons nor edges, none at all, or neurons of another graph.
    """
    circuit = circuit_of(table)
    if not circuit.neurons:
        raise AttrGraphError("the query returned no rows, so there is nothing to draw")
    names = graph.neurons[["layer", "index"]].itertuples(index=False, name=None)
    wanted = set(circuit.neurons)
    own = [neuron in wanted for neuron in names]
    if sum(own) < len(wanted):
        raise AttrGraphError(
            f"{len(wanted) - sum(own)} of {len(wanted)} neurons that the query returned are not in the graph; it may "
            "have been asked of another graph"
        )
    return replace(graph, neurons=graph.neurons[own].reset_index(drop=True), edges=_edges(graph.edges, circuit))


def _edges(edges: pd.DataFrame, circuit: Circuit) -> pd.DataFrame:
    rows = list(edges[ENDS].itertuples(index=False, name=None))
    if circuit.edges is not None:
        wanted = set(circuit.edges)
        return edges[[row in wanted for row in rows]].reset_index(drop=True)
    neurons = set(circuit.neurons)
    return edges[[row[:2] in neurons and row[2:] in neurons for row in rows]].reset_index(drop=True)
