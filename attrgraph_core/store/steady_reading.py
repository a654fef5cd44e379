"""The one door to what is read of graphs: Neo4j isolates no reader from a writer, not in one transaction either.

Whoever replaces or deletes a graph hides it first. So what was read is of whole graphs where those that were complete
before still are, and were not written again; else it is read again.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from attrgraph_core.errors import AttrGraphError, UnreachableError
from attrgraph_core.store.cypher_query import CypherQuery
from attrgraph_core.store.database import Database
from attrgraph_core.store.queries import load_query

READ_ATTEMPTS, PATIENCE_SECONDS = 3, 10.0  # both must be used up
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.02, 1.0
GRAPH_IDS = ("graph_id", "other_graph_id")
OTHER_IDS = ("run_id", "other_run_id", "stage_id", "circuit_id", "neuron_set_id")

Read = TypeVar("Read")


@dataclass(frozen=True)
class Reach:
    """What graphs are read: these, all of some runs, or everything that there is."""

    graph_ids: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()
    everything: bool = False


def reach_of(query: CypherQuery, values: Mapping[str, Any]) -> Reach:
    """What graphs a query reads, asked with these values, or some more.

    A text without `HAS_GRAPH` finds no way from a graph to others of its run; one with `Experiment` goes to other runs.
    """
    graph_ids, others = (
        tuple(values[name] for name in names if values.get(name) is not None) for names in (GRAPH_IDS, OTHER_IDS)
    )
    if graph_ids and not others and "HAS_GRAPH" not in query.text:
        return Reach(graph_ids)
    runs = tuple(dict.fromkeys(str(given).partition("/")[0] for given in (*graph_ids, *others)))
    return Reach(graph_ids, runs, ":Experiment" in query.text or (not runs and ":NeuronState" in query.text))


def read_steadily(database: Database, reach: Reach, read: Callable[[], Read]) -> Read | None:
    """What `read` gives, of graphs that nobody replaced or deleted meanwhile; it is called again where somebody did.

    None where one of `reach.graph_ids` is not complete. Graphs that are new meanwhile are no harm: they come whole or
    not at all. Raises AttrGraphError where they are replaced or deleted again and again, one after the other, and for
    a run that is being deleted: what selects its neurons goes without a graph that changes.
    """
    if reach == Reach():
        return read()
    begun, wait = time.monotonic(), FIRST_WAIT_SECONDS
    for attempt in itertools.count(1):
        before = _complete(database, reach)
        if not before.keys() >= set(reach.graph_ids):
            return None
        try:
            found = read()
        except UnreachableError:
            raise
        except AttrGraphError:  # the server says so of a node that is gone while it reads it
            changed = _changed(before, _complete(database, reach))
            if not changed:
                raise
        else:
            changed = _changed(before, _complete(database, reach))
            if not changed:
                _refuse_deleted_runs(database, reach.run_ids)
                return found
        if attempt >= READ_ATTEMPTS and time.monotonic() - begun + wait > PATIENCE_SECONDS:
            break
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)
    raise being_written(changed)


def being_written(*graph_ids: str) -> AttrGraphError:
    """What a reader raises of a graph, or one of these, that does not stay as it is for as long as it reads."""
    named = " or ".join(map(repr, graph_ids))
    return AttrGraphError(f"graph {named} is being written or deleted; ask again when whoever does it is done")


def _refuse_deleted_runs(database: Database, run_ids: tuple[str, ...]) -> None:
    if not run_ids:
        return
    deleting = database.read(load_query("lookup/deleting_runs"), {"run_ids": run_ids})["run_id"].tolist()
    if deleting:
        raise AttrGraphError(
            f"run {deleting[0]!r} is being deleted; `attrgraph runs delete {deleting[0]}` ends a deletion that was cut "
            "short"
        )


def _complete(database: Database, reach: Reach) -> dict[str, str]:
    asked = {"graph_ids": reach.graph_ids, "run_ids": reach.run_ids, "everything": reach.everything}
    found = database.read(load_query("lookup/complete_graphs"), asked)
    return dict(zip(found["graph_id"], found["written_at"], strict=True))


def _changed(before: dict[str, str], after: dict[str, str]) -> str:
    """A graph that is no longer what it was, or ''."""
    return next((graph_id for graph_id, written_at in before.items() if after.get(graph_id) != written_at), "")
