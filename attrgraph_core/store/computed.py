"""What a query's `@computed` line asks for: rows that a function of `attrgraph_core.circuits` makes of the graph."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pandas as pd

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store.cypher_query import CypherQuery

CIRCUITS = "attrgraph_core.circuits"


def compute(query: CypherQuery, graph: AttributionGraph, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a query is given beside its parameters, computed from the graph as it is stored.

    The function gets those of the query's parameters that its signature has. Imported late: it may need scipy.
    """
    assert query.computed is not None, "only a query with an @computed line is given rows"
    module, _, name = query.computed.function.partition(":")
    function = getattr(import_module(f"{CIRCUITS}.{module}"), name)
    wanted = list(inspect.signature(function).parameters)[1:]
    table: pd.DataFrame = function(graph, **{name: parameters[name] for name in wanted})
    return table.to_dict("records")
