"""Writing an archive's runs into a server, as the ordinary writer writes: each graph is there whole or not at all.

A run is `importing` until all of it is there. An import that was cut short goes on when it is asked for again: what is
there already is found, and not written twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.sparsify import SparseGraph
from attrgraph_core.store.archive.export import Progress
from attrgraph_core.store.archive.manifest import Manifest, check_archive
from attrgraph_core.store.archive.rows import RowReader, read_nodes, read_rows
from attrgraph_core.store.batches import STATE_COLUMNS
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_writer import write_graph
from attrgraph_core.store.queries import load_query

ROWS_AT_ONCE = 5_000
EDGE_TABLE = ["source_layer", "source_index", "target_layer", "target_index", "weight", "abs_weight"]


def import_runs(database: Database, folder: Path, on_progress: Progress = lambda *_: None) -> Manifest:
    """Write the runs of an archive into a server, beside what is there.

    Raises AttrGraphError, and writes nothing, for an archive that is damaged, and where one of its runs is there.
    """
    manifest = check_archive(folder)
    refuse_known_runs(database, manifest)
    write_provenance(database, folder)
    for rows in read_rows(folder, "neurons", ROWS_AT_ONCE):
        _write(database, "neurons", rows.to_dict("records"))
    _write_graphs(database, folder, on_progress)
    write_the_rest(database, folder)
    return manifest


def refuse_known_runs(database: Database, manifest: Manifest) -> None:
    """Raise AttrGraphError where a run of the archive is in the server, and not from an import that was cut short."""
    states = database.read(load_query("lookup/run_states"), {})
    known = set(states.loc[states["status"] != "importing", "run_id"])
    both = [run_id for run_id in manifest.runs if run_id in known]
    if both:
        raise AttrGraphError(
            f"run {both[0]!r} of the archive is in the store already"
            f"{f', and {len(both) - 1} more' if both[1:] else ''}; an import replaces nothing. Delete it there first, "
            "or import into another server"
        )


def write_provenance(database: Database, folder: Path) -> None:
    """Write the archive's runs, stages and snapshots, and their order."""
    _write(database, "runs", _renamed(read_nodes(folder, "runs"), of_experiment="experiment"))
    _write(database, "stages", _renamed(read_nodes(folder, "stages"), of_run="run_id"))
    snapshots = _renamed(read_nodes(folder, "snapshots"), of_stage="stage_id", followed_by="next_id")
    _write(database, "snapshots", snapshots)
    _write(database, "followings", [row for row in snapshots if row["next_id"] is not None])


def write_the_rest(database: Database, folder: Path) -> None:
    """Write what hangs on graphs and neurons that are there, and give the runs their status in the end."""
    _write(database, "graphs", _renamed(read_nodes(folder, "graphs"), of_snapshot="snapshot_id"))
    sets = read_nodes(folder, "neuron_sets")
    _write(database, "neuron_sets", sets)
    runs = read_nodes(folder, "runs")
    known_runs = {run["run_id"] for run in runs}
    for rows in read_rows(folder, "neuron_set_neurons", ROWS_AT_ONCE):
        _write(database, "neuron_set_neurons", rows[rows["run_id"].isin(known_runs)].to_dict("records"))
    known_sets = {row["neuron_set_id"] for row in sets}
    stages = _renamed(read_nodes(folder, "stages"), trains="neuron_set_id")
    _write(database, "trainings", [row for row in stages if row["neuron_set_id"] in known_sets])
    _write(database, "circuits", _renamed(read_nodes(folder, "circuits"), found_in="graph_id", yields="neuron_set_ids"))
    for rows in read_rows(folder, "circuit_neurons", ROWS_AT_ONCE):
        _write(database, "circuit_neurons", rows.to_dict("records"))
    for rows in read_rows(folder, "matches", ROWS_AT_ONCE):
        _write(database, "matches", rows.to_dict("records"))
    _write(database, "run_ends", [{"run_id": run["run_id"], "status": run["properties"]["status"]} for run in runs])


def _write_graphs(database: Database, folder: Path, on_progress: Progress) -> None:
    nodes = read_nodes(folder, "graphs")
    made = database.read(load_query("lookup/importing_graphs"), {}).set_index("graph_id")["content_hash"].to_dict()
    states, edges = RowReader(folder, "states"), RowReader(folder, "edges")
    for done, node in enumerate(nodes, start=1):
        about = node["properties"]
        sparse = _sparse_graph(about, states.take(about["node_count"]), edges.take(about["edge_count"]))
        if made.get(node["graph_id"]) != about["content_hash"]:  # else an offline import was cut short after it
            write_graph(
                database,
                sparse,
                graph_id=node["graph_id"],
                snapshot_id=node["of_snapshot"],
                origin={"run_id": about["run_id"]},
            )
        on_progress("graphs imported", done, len(nodes))


def _sparse_graph(about: Mapping[str, Any], states: pd.DataFrame, edges: pd.DataFrame) -> SparseGraph:
    names = ("method", "target", "baseline", "sample_count", "completeness_delta", "total_edge_count")
    graph = AttributionGraph(
        neurons=states[list(STATE_COLUMNS.values())], edges=edges[EDGE_TABLE], **{name: about[name] for name in names}
    )
    limits = ("kept_mass", "edge_mass", "max_edges_per_neuron", "total_edge_count")
    return SparseGraph(graph=graph, layers=tuple(about["layers"]), **{name: about[name] for name in limits})


def _renamed(rows: Iterable[dict[str, Any]], **names: str) -> list[dict[str, Any]]:
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


def _write(database: Database, query: str, rows: Sequence[Mapping[str, Any]]) -> None:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = list(rows[start : start + ROWS_AT_ONCE])
        written = database.write(f"import/{query}", rows=part)[0]["written"]
        if written != len(part):
            raise AttrGraphError(
                f"{len(part) - written} of {len(part)} {query} of the archive name something that is not in it (export "
                "it again), or whose run was deleted meanwhile (import it again once the deletion has ended)"
            )
