"""Where graphs come from and what is made of them: runs, stages, snapshots; circuits, neuron sets, their training."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store import graph_ids
from attrgraph_core.store.database import Database, Write
from attrgraph_core.store.graph_schema import NODES
from attrgraph_core.store.queries import CypherQuery, load_query

MEMBER_BATCH = 5_000
TOGETHER = 100_000  # members of one transaction at most: some hundred bytes of the server's heap each
CIRCUIT_PROPERTIES = {name for name, known in NODES["Circuit"].properties.items() if not known.is_optional}
MATCH_COLUMNS = ("layer", "index", "other_index", "correlation")
EDGE_END_COLUMNS = ("source_layer", "source_index", "target_layer", "target_index")


class ChosenNeurons(Protocol):
    """What is stored of a neuron set."""

    @property
    def neurons(self) -> dict[str, tuple[int, ...]]: ...
    @property
    def policy(self) -> str: ...
    @property
    def budget(self) -> float: ...
    @property
    def set_hash(self) -> str: ...
    @property
    def scoring_flops(self) -> int | None: ...


def write_stage(database: Database, run_id: str, position: int, kind: str | None, properties: Mapping[str, Any]) -> str:
    """Make a stage of a run, or bring it up to date; its id.

    Raises AttrGraphError where the run is missing, or is being deleted, as all that writes here does.
    """
    return database.write_together(lambda write: _stage(write, run_id, position, kind, properties, makes_run=False))


def _stage(
    write: Write, run_id: str, position: int, kind: str | None, properties: Mapping[str, Any], makes_run: bool
) -> str:
    stage_id = graph_ids.stage_id(run_id, position)
    values = {"position": position, "kind": kind, "properties": dict(properties), "makes_run": makes_run}
    if not write("write_stage", run_id=run_id, stage_id=stage_id, **values):
        raise run_is_gone(run_id)
    return stage_id


def run_is_gone(run_id: str) -> AttrGraphError:
    """What is raised by who writes into a run that somebody deletes, or has deleted meanwhile."""
    return AttrGraphError(
        f"run {run_id!r} was deleted, or is being deleted, while something of it was to be written; train it again, "
        f"after `attrgraph runs delete {run_id}` where that was cut short"
    )


def write_snapshot(
    database: Database,
    run_id: str,
    position: int,
    epoch: int,
    loss: float | None,
    accuracy: float | None,
    makes_run: bool = True,
) -> str:
    """Make a snapshot, with its stage and run where they are missing, and join it to its neighbours; its id.

    Without `makes_run` a run that is missing raises AttrGraphError.
    """
    snapshot_id = graph_ids.snapshot_id(run_id, position, epoch)
    for name, value in (("loss", loss), ("accuracy", accuracy)):
        if value is not None and not np.isfinite(value):
            raise AttrGraphError(
                f"{name} of {snapshot_id} is {value}; a network that diverged has no graph worth keeping"
            )
    values = {name: None if value is None else float(value) for name, value in (("loss", loss), ("accuracy", accuracy))}

    def work(write: Write) -> None:
        stage_id = _stage(write, run_id, position, None, {}, makes_run)
        write("write_snapshot", stage_id=stage_id, snapshot_id=snapshot_id, epoch=int(epoch), **values)
        write("link_snapshots", run_id=run_id)

    database.write_together(work)
    return snapshot_id


def write_circuit(
    database: Database, graph_id: str, query: CypherQuery, parameters: Mapping[str, Any], table: pd.DataFrame
) -> str:
    """Keep what a query found in a graph as a circuit that holds the neurons of the table; its id.

    Raises AttrGraphError, and writes nothing, where the table names no neurons, or some that the graph has not, and
    for a graph that is not there or not complete, or does not stay so meanwhile.
    """
    neurons = neurons_of(table)
    asked = json.dumps({"graph_id": graph_id, **parameters}, sort_keys=True)
    circuit_id = graph_ids.circuit_id(graph_id, query.name, query.hash, asked)
    status = database.read(load_query("lookup/graph"), {"graph_id": graph_id})["status"].tolist()
    if status != ["complete"]:
        raise AttrGraphError(f"there is no complete graph {graph_id!r} to keep a circuit of; save the graph first")
    _refuse_missing(database, "missing_states", "graph", graph_id, neurons)
    ids = {"graph_id": graph_id, "circuit_id": circuit_id}
    about = {"query": query.name, "query_hash": query.hash, "parameters": asked, "result_hash": table_hash(table)}

    def work(write: Write) -> None:
        write("write_circuit", **ids, **about)
        for batch in _batches(neurons):
            write("write_circuit_members", **ids, **batch)
        found = write("complete_circuit", **ids, size=len(neurons))
        if not found or found[0]["found"] != len(neurons):
            raise AttrGraphError(
                f"graph {graph_id!r} was written or deleted while a circuit of it was kept; ask it again, and keep that"
            )

    _write_whole(database, len(neurons), work)
    return circuit_id


def write_evidence(database: Database, circuit_id: str, evidence: Mapping[str, Any]) -> None:
    """Keep what was measured of a circuit in its properties.

    Raises AttrGraphError, and writes nothing, for a circuit that is not stored, a name that a circuit has for something
    else, and a number that is not finite.
    """
    taken = sorted(set(evidence) & CIRCUIT_PROPERTIES)
    if taken:
        raise AttrGraphError(f"evidence cannot be called {taken[0]!r}: a circuit has that already; rename it")
    for name, value in evidence.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        if not all(np.isfinite(number) for number in numbers if isinstance(number, float)):
            raise AttrGraphError(f"{name} of circuit {circuit_id!r} is {value}, which is no evidence")
    if not database.write("write_evidence", circuit_id=circuit_id, evidence=dict(evidence)):
        raise AttrGraphError(f"there is no circuit {circuit_id!r} to keep evidence for; save the circuit first")


def write_neuron_set(database: Database, run_id: str, circuit_ids: Iterable[str], chosen: ChosenNeurons) -> str:
    """Keep the neurons chosen from circuits of a run; the id of the set.

    Raises AttrGraphError, and writes nothing, for a circuit or a neuron that is not stored.
    """
    circuits = sorted(set(circuit_ids))
    neuron_set_id = graph_ids.neuron_set_id(run_id, circuits, chosen.policy, chosen.budget, chosen.set_hash)
    neurons = [(layer, int(index)) for layer, indices in chosen.neurons.items() for index in indices]
    missing = database.read(load_query("lookup/missing_circuits"), {"circuit_ids": circuits})["circuit_id"].tolist()
    if missing:
        raise AttrGraphError(f"there is no circuit {missing[0]!r} to choose neurons from; save the circuit first")
    _refuse_missing(database, "missing_neurons", "run", run_id, neurons)
    ids = {"run_id": run_id, "neuron_set_id": neuron_set_id}
    about = {
        "set_hash": chosen.set_hash, "policy": chosen.policy, "budget": float(chosen.budget), "size": len(neurons),
        "scoring_flops": chosen.scoring_flops,
    }  # fmt: skip

    def work(write: Write) -> None:
        _lock_runs(write, run_id)
        write("write_neuron_set", **ids, **about)
        for batch in _batches(neurons):
            write("write_neuron_set_members", **ids, **batch)
        found = write("complete_neuron_set", neuron_set_id=neuron_set_id, circuit_ids=circuits, size=len(neurons))
        if found != [{"found": len(neurons), "circuits": len(circuits)}]:
            raise AttrGraphError(
                f"a neuron or a circuit of neuron set {neuron_set_id} was deleted meanwhile, or a circuit's graph is "
                "being deleted or written; ask the graph again, and choose from that"
            )

    _write_whole(database, len(neurons), work)
    return neuron_set_id


def write_training(database: Database, run_id: str, position: int, neuron_set_id: str) -> None:
    """Say that a stage trains a neuron set and no other. Raises AttrGraphError where the set is not stored."""

    def work(write: Write) -> None:
        stage_id = _stage(write, run_id, position, None, {}, makes_run=False)
        if not write("write_training", stage_id=stage_id, neuron_set_id=neuron_set_id):
            raise AttrGraphError(f"there is no neuron set {neuron_set_id!r} for {stage_id} to train; save it first")

    database.write_together(work)


def write_matches(database: Database, run_id: str, other_run_id: str, matches: pd.DataFrame) -> int:
    """Keep which neurons of two runs match, in place of what was kept of these two; how many pairs.

    Raises AttrGraphError, and writes nothing, for a run that is matched with itself, a missing column, a neuron in two
    pairs, and a neuron that is not stored.
    """
    missing = [column for column in MATCH_COLUMNS if column not in matches]
    if missing:
        raise AttrGraphError(f"the matches have no column {missing[0]!r}; they need {', '.join(MATCH_COLUMNS)}")
    if run_id == other_run_id:
        raise AttrGraphError(f"the neurons of run {run_id!r} are matched with themselves; name two runs")
    for run, column in ((run_id, "index"), (other_run_id, "other_index")):
        neurons = list(zip(matches["layer"].astype(str), matches[column].astype(int), strict=True))
        if len(set(neurons)) < len(neurons):
            raise AttrGraphError(f"a neuron of run {run!r} is in two matches; give each neuron one partner")
        _refuse_missing(database, "missing_neurons", "run", run, neurons)
    ends = {"run_id": run_id, "other_run_id": other_run_id}

    def work(write: Write) -> None:
        _lock_runs(write, run_id, other_run_id)
        while write("delete_matches", **ends, batch_size=MEMBER_BATCH)[0]["deleted"]:
            pass
        written = 0
        for start in range(0, len(matches), MEMBER_BATCH):
            part = matches.iloc[start : start + MEMBER_BATCH]
            columns = dict(zip(("layers", "indices", "other_indices", "correlations"), MATCH_COLUMNS, strict=True))
            values = {name: part[column].tolist() for name, column in columns.items()}
            written += write("write_matches", **ends, **values)[0]["written"]
        if written != len(matches):
            raise AttrGraphError(f"{len(matches) - written} of {len(matches)} matched neurons were deleted meanwhile")

    _write_whole(database, len(matches), work)
    return len(matches)


def neurons_of(table: pd.DataFrame) -> list[tuple[str, int]]:
    """The neurons (layer, index) that the rows of a query's table name, each once, in their order.

    They are named by columns `layer` and `index`, by a column `neurons` of lists of '<layer>/<index>', or as the two
    ends of edges. Raises AttrGraphError for a table with none of them.
    """
    if "layer" in table and "index" in table:
        named = [(str(layer), int(index)) for layer, index in zip(table["layer"], table["index"], strict=True)]
    elif "neurons" in table:
        parts = [name.rpartition("/") for names in table["neurons"] for name in names]
        named = [(layer, int(index)) for layer, _, index in parts]
    elif set(EDGE_END_COLUMNS) <= set(table):
        ends = zip(*(table[column].tolist() for column in EDGE_END_COLUMNS), strict=True)
        named = [end for row in ends for end in ((row[0], int(row[1])), (row[2], int(row[3])))]
    else:
        raise AttrGraphError(
            "the query's table names no neurons: it needs columns layer and index, or a column neurons of lists of "
            f"'<layer>/<index>', or {', '.join(EDGE_END_COLUMNS)}; it has {', '.join(map(str, table.columns))}"
        )
    return list(dict.fromkeys(named))


def table_hash(table: pd.DataFrame) -> str:
    """16 hexadecimal digits of SHA-256 over a table's columns and rows, in their order."""
    content = {"columns": list(map(str, table.columns)), "rows": table.to_numpy(dtype=object).tolist()}
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:16]


def _write_whole(database: Database, count: int, work: Callable[[Write], None]) -> None:
    """Have something with so many members written: all of it, or nothing where it is cut short.

    More than a transaction holds are written in several. Until the last of them a circuit is stale, and a neuron set is
    yielded by none; of matches a part is there.
    """
    if count <= TOGETHER:
        database.write_together(work)
    else:
        work(database.write)


def _lock_runs(write: Write, *run_ids: str) -> None:
    """Have who deletes one of these runs wait; refuse one that is deleted already."""
    known = {row["run_id"] for row in write("lock_runs", run_ids=list(run_ids))}
    for run_id in run_ids:
        if run_id not in known:
            raise run_is_gone(run_id)


def _batches(neurons: list[tuple[str, int]]) -> Iterator[dict[str, list[Any]]]:
    for start in range(0, len(neurons), MEMBER_BATCH):
        part = neurons[start : start + MEMBER_BATCH]
        yield {"layers": [layer for layer, _ in part], "indices": [index for _, index in part]}


def _refuse_missing(
    database: Database, lookup: str, holder: str, holder_id: str, neurons: list[tuple[str, int]]
) -> None:
    query = load_query(f"lookup/{lookup}")
    missing = [
        name for batch in _batches(neurons) for name in database.read(query, {"holder_id": holder_id, **batch})["name"]
    ]
    if missing:
        raise AttrGraphError(
            f"{len(missing)} of {len(neurons)} neurons, {missing[0]} first, are not in {holder} {holder_id}; take them "
            f"from the {holder} itself"
        )
