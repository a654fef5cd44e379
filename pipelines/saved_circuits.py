"""A circuit that somebody asked for by hand, in Dagster's catalogue: an asset `saved_circuits/<query>`."""

import os
from typing import Any

import dagster as dg
import pandas as pd

from attrgraph_core.store.queries import load_query
from pipelines.pictures import table_metadata


def report_saved_circuit(circuit_id: str, query: str, graph_id: str, table: pd.DataFrame) -> str | None:
    """Tell Dagster of a circuit that was kept in Neo4j; the asset's key, or None where there is no DAGSTER_HOME."""
    if not os.environ.get("DAGSTER_HOME"):
        return None
    key = dg.AssetKey(["saved_circuits", query])
    metadata: dict[str, Any] = {
        "circuit_id": circuit_id,
        "graph_id": graph_id,
        "rows": len(table),
        "table": table_metadata(table),
        "cypher": dg.MetadataValue.md(f"```cypher\n{load_query(query).text}\n```"),
    }
    with dg.DagsterInstance.get() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset_key=key, metadata=metadata))
    return key.to_user_string()
