"""Deleting a run: hidden from readers first, then in batches, so that a deletion cut short goes on when asked again."""

import uuid

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_lanes import overtaken
from attrgraph_core.store.graph_writer import DELETE_BATCH, delete_content


def delete_run(database: Database, run_id: str) -> int:
    """Delete a run with all that hangs on it; how many graphs it had.

    Raises AttrGraphError where there is none, or where another process writes one of its graphs meanwhile.
    """
    writer = uuid.uuid4().hex
    rows = database.write("hide_run", run_id=run_id, writer=writer)
    if not rows:
        raise AttrGraphError(f"there is no run {run_id!r} to delete")
    graph_ids = rows[0]["graph_ids"]
    for graph_id in graph_ids:
        delete_content(database, graph_id, writer)
        if not database.write("delete_graph", graph_id=graph_id, writer=writer):
            raise overtaken(graph_id)
    database.write_until_none("delete_matches", run_id=run_id, other_run_id=None, batch_size=DELETE_BATCH)
    for query in ("delete_selections", "delete_neurons"):
        database.write_until_none(query, run_id=run_id, batch_size=DELETE_BATCH)
    database.write("delete_run", run_id=run_id)
    return len(graph_ids)
