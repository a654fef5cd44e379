"""What an archive holds: a table a file, each row a node or a relationship of the graph.

Nodes of few kinds have their properties as columns (`property_columns`) and name the nodes that they hang on in
columns of links. Neurons, states and edges have columns of their own. `edges` and `states` have the rows of the graphs
one after the other, in the order of `graphs`.
"""

from dataclasses import dataclass

import pyarrow as pa

_text = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class PropertyTable:
    """Nodes with properties: their key, and the columns that link them to other nodes.

    `query` of `cypher/export/` gives what is written, its columns under other names in `links`.
    """

    key: str
    query: str
    links: dict[str, tuple[str, pa.DataType]]  # column in the archive: (column of the query, type)

    @property
    def link_types(self) -> dict[str, pa.DataType]:
        return {name: kind for name, (_, kind) in self.links.items()}


PROPERTY_TABLES = {
    "runs": PropertyTable("run_id", "run", {"of_experiment": ("experiment", pa.string())}),
    "stages": PropertyTable(
        "stage_id", "stages", {"of_run": ("run_id", pa.string()), "trains": ("neuron_set_id", pa.string())}
    ),
    "snapshots": PropertyTable(
        "snapshot_id", "snapshots", {"of_stage": ("stage_id", pa.string()), "followed_by": ("next_id", pa.string())}
    ),
    "graphs": PropertyTable("graph_id", "graphs", {"of_snapshot": ("snapshot_id", pa.string())}),
    "neuron_sets": PropertyTable("neuron_set_id", "neuron_sets", {"of_run": ("run_id", pa.string())}),
    "circuits": PropertyTable(
        "circuit_id",
        "circuits",
        {"found_in": ("graph_id", pa.string()), "yields": ("neuron_set_ids", pa.list_(pa.string()))},
    ),
}
ROW_TABLES = {
    "neurons": pa.schema({"run_id": _text, "layer": _text, "index": pa.int64(), "kind": _text}),
    "circuit_neurons": pa.schema({"circuit_id": _text, "graph_id": _text, "layer": _text, "index": pa.int64()}),
    "neuron_set_neurons": pa.schema({"neuron_set_id": _text, "run_id": _text, "layer": _text, "index": pa.int64()}),
    "matches": pa.schema(
        {
            "run_id": _text, "layer": _text, "index": pa.int64(), "other_run_id": _text, "other_index": pa.int64(),
            "correlation": pa.float64(),
        }
    ),
}  # fmt: skip
GRAPH_TABLES = {
    "states": pa.schema(
        {
            "graph_id": _text, "layer": _text, "index": pa.int64(), "kind": _text, "attribution": pa.float64(),
            "abs_attribution": pa.float64(), "total_in": pa.float64(), "kept_in": pa.float64(),
            "total_out": pa.float64(),
        }
    ),
    "edges": pa.schema(
        {
            "graph_id": _text, "source_layer": _text, "source_index": pa.int64(), "target_layer": _text,
            "target_index": pa.int64(), "weight": pa.float64(), "abs_weight": pa.float64(),
        }
    ),
}  # fmt: skip
NAMES = (*PROPERTY_TABLES, *ROW_TABLES, *GRAPH_TABLES)
