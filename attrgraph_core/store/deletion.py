"""Deleting a run: hidden from readers first, then in batches, so that a deletion cut short goes on when asked again."""

import uuid

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_lanes import overtaken
from attrgraph_core.store.graph_writer import DELETE_BATCH, delete_content


def delete_run(database: Database, run_id: str) -> int:
    """Delete a run with all that hangs on it; how many graphs it had.

    From its first step on whoever writes into the run is refused. Raises AttrGraphError where there is none, or where
    another process deletes it, too.
    """
    writer = uuid.uuid4().hex
    count = 0
    while True:  # until a look finds no more: an import writes graphs before they hang on the run
        rows = database.write("hide_run", run_id=run_id, writer=writer)
        if not rows:
            raise AttrGraphError(f"there is no run {run_id!r} to delete")
        if not rows[0]["graph_ids"]:
            break
        for graph_id in rows[0]["graph_ids"]:
            delete_content(database, graph_id, writer)
            if not database.write("delete_graph", graph_id=graph_id, writer=writer):
                raise overtaken(graph_id)
            count += 1
    database.write_until_none("delete_matches", run_id=run_id, other_run_id=None, batch_size=DELETE_BATCH)
    for query in ("delete_selections", "delete_neurons"):
        database.write_until_none(query, run_id=run_id, batch_size=DELETE_BATCH)
    database.write("delete_run", run_id=run_id)
    return count
