"""What a query's `@computed` line asks for: rows that a function of `attrgraph_core.circuits` makes of the graph."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pandas as pd

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store.cypher_query import CypherQuery

CIRCUITS = "attrgraph_core.circuits"
EDGE_END_COLUMNS = ["source_layer", "source_index", "target_layer", "target_index"]


def compute(query: CypherQuery, graph: AttributionGraph, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a query is given beside its parameters, computed from the graph as it is stored.

    The function gets those of the query's parameters that its signature has. A row a row of its table; of a table of
    edges a row a target: target_layer, target_index, and `edges`, a map from '<layer>/<index>' of the source to the
    other columns, by which a query looks at each edge once. Imported late: it may need scipy.
    """
    assert query.computed is not None, "only a query with an @computed line is given rows"
    module, _, name = query.computed.function.partition(":")
    function = getattr(import_module(f"{CIRCUITS}.{module}"), name)
    wanted = list(inspect.signature(function).parameters)[1:]
    table: pd.DataFrame = function(graph, **{name: parameters[name] for name in wanted})
    return _by_target(table) if set(EDGE_END_COLUMNS) <= set(table) else table.to_dict("records")


def _by_target(edges: pd.DataFrame) -> list[dict[str, Any]]:
    rows: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    others = edges.drop(columns=EDGE_END_COLUMNS).to_dict("records") or [{}] * len(edges)
    ends = zip(*(edges[column].tolist() for column in EDGE_END_COLUMNS), strict=True)
    for (source_layer, source_index, target_layer, target_index), other in zip(ends, others, strict=True):
        rows.setdefault((target_layer, target_index), {})[f"{source_layer}/{source_index}"] = other
    return [{"target_layer": layer, "target_index": index, "edges": found} for (layer, index), found in rows.items()]
