"""Writing the states and edges of a graph in two lanes, a transaction at a time in each.

While the server works on one batch the next is packed and sent, and two processors work on both. The first lane writes
the states and then edges, the second edges from the first on whose neurons are there. A lane's transactions hold a lock
of its own (see query `write_edges`); who takes the graph over needs both.
"""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.sparsify import SparseGraph
from attrgraph_core.store.batches import edge_batches, state_batches
from attrgraph_core.store.database import Database

LANES = 2


def write_content(database: Database, sparse: SparseGraph, graph_id: str, writer: str, run_id: str) -> None:
    """Write the states and edges of a graph that is `writer`'s and has none.

    Raises AttrGraphError where another writer took it over. What one lane raises ends both, after the batches that are
    under way.
    """
    content = _Content(sparse)

    def write_states() -> None:
        for batch in state_batches(sparse.graph.neurons):
            if content.is_stopped:
                return
            count = len(batch["layers"])
            _write_batch(database, "write_states", graph_id, writer, count, run_id=run_id, **batch)
            content.add_states(count)

    def write_edges(lane: int) -> None:
        while (batch := content.next_edges()) is not None:
            _write_batch(database, "write_edges", graph_id, writer, len(batch["weights"]), lane=lane, **batch)

    def write(lane: int) -> None:
        if lane == 0:
            write_states()
        write_edges(lane)

    with ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(write, lane) for lane in range(LANES)]
        try:
            for done in as_completed(lanes):
                done.result()
        finally:
            content.stop()


def overtaken(graph_id: str) -> AttrGraphError:
    """What a process raises that another one took a graph from."""
    return AttrGraphError(
        f"another process began to write graph {graph_id}, or deletes it, and this one gave up; let one process write "
        "a run"
    )


def _write_batch(database: Database, query: str, graph_id: str, writer: str, count: int, **columns: Any) -> None:
    if database.write(query, graph_id=graph_id, writer=writer, **columns)[0]["written"] != count:
        raise overtaken(graph_id)


class _Content:
    """Batches of edges for both lanes, each given out once all states of its two layers are written."""

    def __init__(self, sparse: SparseGraph) -> None:
        self.is_stopped = False
        self._batches = edge_batches(sparse)
        self._taking = threading.Lock()
        self._changed = threading.Condition()
        self._states = 0
        layers = sparse.graph.neurons["layer"]
        self._end = {layer: place + 1 for place, layer in enumerate(layers)}  # rows up to a layer's last

    def add_states(self, count: int) -> None:
        with self._changed:
            self._states += count
            self._changed.notify_all()

    def next_edges(self) -> dict[str, Any] | None:
        """The next batch, as soon as it can be written; None where there is none left, or nothing shall be written."""
        with self._taking:
            batch = None if self.is_stopped else next(self._batches, None)
        if batch is None:
            return None
        needed = max(self._end[batch["source_layer"]], self._end[batch["target_layer"]])
        with self._changed:
            self._changed.wait_for(lambda: self.is_stopped or self._states >= needed)
        return None if self.is_stopped else batch

    def stop(self) -> None:
        with self._changed:
            self.is_stopped = True
            self._changed.notify_all()
