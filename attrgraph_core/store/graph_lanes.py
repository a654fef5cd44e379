"""Writing the states and edges of a graph in two lanes, a transaction at a time in each.

While the server works on one batch the next is packed and sent, and two processors work on both. Both lanes write
states, then edges, these from the first on whose neurons are there. A lane's transactions hold a lock of its own (see
query `write_edges`); who takes the graph over needs both.
"""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.sparsify import SparseGraph
from attrgraph_core.store.batches import STATES_ALONE, edge_batches, state_batches
from attrgraph_core.store.database import Database

LANES = 2


def write_content(database: Database, sparse: SparseGraph, graph_id: str, writer: str, run_id: str) -> None:
    """Write the states and edges of a graph that is `writer`'s and has none.

    Raises AttrGraphError where another writer took it over. What one lane raises ends both, after the batches that are
    under way.
    """
    content = _Content(sparse, run_id)

    def write(lane: int) -> None:
        while (batch := content.next_batch()) is not None:
            _write_batch(database, batch.query, graph_id, writer, batch.count, lane=lane, **batch.parameters)
            content.finish(batch)

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


def _write_batch(database: Database, query: str, graph_id: str, writer: str, count: int, **parameters: Any) -> None:
    if database.write(query, graph_id=graph_id, writer=writer, **parameters)[0]["written"] != count:
        raise overtaken(graph_id)


@dataclass(frozen=True)
class _Batch:
    """`count` rows for a query, which may be written once the first `needs` states of the graph are."""

    query: str
    count: int
    needs: int
    parameters: dict[str, Any]
    start: int | None = None  # the first state of the batch, if it is one of states


class _Content:
    """Batches for both lanes: all states, then edges, each batch given out once what it hangs on is written."""

    def __init__(self, sparse: SparseGraph, run_id: str) -> None:
        self.is_stopped = False
        self._batches = itertools.chain(_batches_of_states(sparse, run_id), _batches_of_edges(sparse))
        self._taking = threading.Lock()
        self._changed = threading.Condition()
        self._begun = 0  # states in batches given out
        self._under_way: set[int] = set()  # the first state of each batch that is being written

    def next_batch(self) -> _Batch | None:
        """The next batch, as soon as it can be written; None where there is none left, or nothing shall be written."""
        with self._taking:
            batch = None if self.is_stopped else next(self._batches, None)
            if batch is None:
                return None
            if batch.start is not None:
                with self._changed:
                    self._begun = batch.start + batch.count
                    self._under_way.add(batch.start)
        with self._changed:
            self._changed.wait_for(lambda: self.is_stopped or self._written() >= batch.needs)
        return None if self.is_stopped else batch

    def finish(self, batch: _Batch) -> None:
        if batch.start is not None:
            with self._changed:
                self._under_way.remove(batch.start)
                self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self.is_stopped = True
            self._changed.notify_all()

    def _written(self) -> int:
        """How many states, from the first on, are there without a gap."""
        return min(self._under_way, default=self._begun)


def _batches_of_states(sparse: SparseGraph, run_id: str) -> Iterator[_Batch]:
    start = 0
    for states in state_batches(sparse.graph.neurons):
        count = len(states["layers"])
        yield _Batch("write_states", count, min(start, STATES_ALONE), {"run_id": run_id, **states}, start)
        start += count


def _batches_of_edges(sparse: SparseGraph) -> Iterator[_Batch]:
    layers = sparse.graph.neurons["layer"]
    end = {layer: place + 1 for place, layer in enumerate(layers)}  # states up to a layer's last
    for edges in edge_batches(sparse):
        needs = max(end[edges["source_layer"]], end[edges["target_layer"]])
        yield _Batch("write_edges", len(edges["weights"]), needs, edges)
