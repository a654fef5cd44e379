"""Reading a graph: its edges are sent as lists, a record a neuron, and put into columns while they come.

A record an edge costs the server and the driver ten times what the edge's values do.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import neo4j
import numpy as np
import pandas as pd

from attrgraph_core.store.database import Database
from attrgraph_core.store.queries import load_query
from attrgraph_core.store.steady_reading import Reach, read_steadily

RECORDS_AT_ONCE = 2_000

# Of a part of the edges: places of their target layers, target indices, places of their source layers, source
# indices, weights, absolute weights; a value an edge.
_Columns = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class ReadGraph:
    """A complete graph as it is stored: its node's properties, its neurons with their totals, its edges in order."""

    properties: Mapping[str, Any]
    neurons: pd.DataFrame
    edges: pd.DataFrame


def read_graph(database: Database, graph_id: str) -> ReadGraph | None:
    """A complete graph, or None where there is none of this id.

    Raises AttrGraphError for one that somebody replaces again and again meanwhile.
    """

    def read() -> ReadGraph | None:
        properties = _properties(database, graph_id)
        if properties is None:
            return None
        neurons = database.read(load_query("graph_neurons"), {"graph_id": graph_id})
        return ReadGraph(properties, neurons, read_edges(database, graph_id, properties["layers"]))

    return read_steadily(database, Reach((graph_id,)), read)


def _properties(database: Database, graph_id: str) -> dict[str, Any] | None:
    table = database.read(load_query("lookup/graph"), {"graph_id": graph_id})
    return None if table.empty else dict(table["properties"].iloc[0])


def read_edges(database: Database, graph_id: str, layers: Sequence[str]) -> pd.DataFrame:
    """The stored edges of a complete graph with these layers, in canonical order: by target, then by source.

    Where the graph is replaced by another one meanwhile, what comes is of both: look at its properties again.
    """
    place_of = {layer: place for place, layer in enumerate(layers)}

    def work(records: Iterator[neo4j.Record]) -> list[_Columns]:
        parts = []
        while some := list(islice(records, RECORDS_AT_ONCE)):
            parts.append(_columns(some, place_of))
        return parts

    parts = database.fold(load_query("lookup/graph_edge_lists"), {"graph_id": graph_id, "layers": list(layers)}, work)
    return _table(parts, layers)


def _columns(records: list[neo4j.Record], place_of: dict[str, int]) -> _Columns:
    target_places, target_indices, source_layers, sources, weights, abs_weights = zip(*records, strict=True)
    counts = np.fromiter(map(len, sources), np.int64, len(records))
    edge_count = int(counts.sum())

    def repeated(values: Iterable[int], kind: type) -> np.ndarray:
        return np.repeat(np.fromiter(values, kind, len(records)), counts)

    def joined(lists: Iterable[list[float]], kind: type) -> np.ndarray:
        return np.fromiter(chain.from_iterable(lists), kind, edge_count)

    return (
        repeated(target_places, np.int32),
        repeated(target_indices, np.int64),
        repeated((place_of.get(layer, -1) for layer in source_layers), np.int32),
        joined(sources, np.int64),
        joined(weights, np.float64),
        joined(abs_weights, np.float64),
    )


def _table(parts: list[_Columns], layers: Sequence[str]) -> pd.DataFrame:
    if not parts:
        empty = np.empty(0, np.int64)
        parts = [(empty, empty, empty, empty, empty.astype(float), empty.astype(float))]
    target_places, targets, source_places, sources, weights, abs_weights = map(np.concatenate, zip(*parts, strict=True))
    width = max(int(targets.max(initial=0)), int(sources.max(initial=0))) + 1
    order = np.lexsort((source_places * width + sources, target_places * width + targets))
    names = pd.Index(list(layers), dtype="str")
    return pd.DataFrame(
        {
            "source_layer": names.take(source_places[order]),
            "source_index": sources[order],
            "target_layer": names.take(target_places[order]),
            "target_index": targets[order],
            "weight": weights[order],
            "abs_weight": abs_weights[order],
        }
    )
