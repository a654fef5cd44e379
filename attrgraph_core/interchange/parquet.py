"""One graph as one Parquet file: a row an edge, the neurons and all else in the file's metadata.

For pandas, Polars or DuckDB the file is the table of edges. Whole runs go by `attrgraph db export`.
"""

import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.canonical_graph import EDGE_COLUMNS, NEURON_COLUMNS, TOTAL_COLUMNS, canonical_graph
from attrgraph_core.interchange.tables import about

ABOUT, NEURONS = b"attrgraph", b"attrgraph.neurons"


def write_parquet(graph: AttributionGraph, path: Path) -> None:
    """Write a graph, with the totals of edges that it has not, where it knows them."""
    neurons = io.BytesIO()
    columns = [name for name in (*NEURON_COLUMNS, *TOTAL_COLUMNS) if name in graph.neurons]
    graph.neurons[columns].to_parquet(neurons, index=False)
    table = pa.Table.from_pandas(graph.edges[list(EDGE_COLUMNS)], preserve_index=False)
    known = {ABOUT: json.dumps(about(graph)).encode(), NEURONS: neurons.getvalue()}
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **known}), path, compression="zstd")


def read_parquet(path: Path) -> AttributionGraph:
    """The graph of a file that `write_parquet` wrote. Raises AttrGraphError for any other."""
    try:
        table = pq.read_table(path)
    except OSError as error:
        raise AttrGraphError(f"cannot read {path}: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise AttrGraphError(f"{path} is no Parquet file: {error}") from error
    metadata = table.schema.metadata or {}
    for name in (ABOUT, NEURONS):
        if name not in metadata:
            raise AttrGraphError(f"{path} has no metadata {name.decode()!r}: it is a table, and not a graph of ours")
    neurons = pd.read_parquet(io.BytesIO(metadata[NEURONS]))
    return canonical_graph(
        AttributionGraph(neurons=neurons, edges=table.to_pandas(), **json.loads(metadata[ABOUT]))
    ).graph
