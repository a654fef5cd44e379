"""Where graphs come from and what is made of them: runs, stages, snapshots; circuits, neuron sets, their training."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store import graph_ids
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_schema import NODES
from attrgraph_core.store.queries import CypherQuery, load_query

MEMBER_BATCH = 5_000
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
    """Make a stage, and its run where it is missing, or bring it up to date; its id."""
    stage_id = graph_ids.stage_id(run_id, position)
    database.write(
        "write_stage", run_id=run_id, stage_id=stage_id, position=position, kind=kind, properties=dict(properties)
    )
    return stage_id


def write_snapshot(
    database: Database, run_id: str, position: int, epoch: int, loss: float | None, accuracy: float | None
) -> str:
    """Make a snapshot, with its stage and run where they are missing, and join it to its neighbours; its id."""
    snapshot_id = graph_ids.snapshot_id(run_id, position, epoch)
    for name, value in (("loss", loss), ("accuracy", accuracy)):
        if value is not None and not np.isfinite(value):
            raise AttrGraphError(
                f"{name} of {snapshot_id} is {value}; a network that diverged has no graph worth keeping"
            )
    stage_id = write_stage(database, run_id, position, None, {})
    values = {name: None if value is None else float(value) for name, value in (("loss", loss), ("accuracy", accuracy))}
    database.write("write_snapshot", stage_id=stage_id, snapshot_id=snapshot_id, epoch=int(epoch), **values)
    database.write("link_snapshots", run_id=run_id)
    return snapshot_id


def write_circuit(
    database: Database, graph_id: str, query: CypherQuery, parameters: Mapping[str, Any], table: pd.DataFrame
) -> str:
    """Keep what a query found in a graph as a circuit that holds the neurons of the table; its id.

    Raises AttrGraphError, and writes nothing, where the table names no neurons, or some that the graph has not, and
    for a graph that is not there or not complete.
    """
    neurons = neurons_of(table)
    asked = json.dumps({"graph_id": graph_id, **parameters}, sort_keys=True)
    circuit_id = graph_ids.circuit_id(graph_id, query.name, query.hash, asked)
    status = database.read(load_query("lookup/graph"), {"graph_id": graph_id})["status"].tolist()
    if status != ["complete"]:
        raise AttrGraphError(f"there is no complete graph {graph_id!r} to keep a circuit of; save the graph first")
    _refuse_missing(database, "missing_states", "graph", graph_id, neurons)
    database.write(
        "write_circuit",
        graph_id=graph_id,
        circuit_id=circuit_id,
        query=query.name,
        query_hash=query.hash,
        parameters=asked,
        result_hash=table_hash(table),
    )
    for batch in _batches(neurons):
        database.write("write_circuit_members", graph_id=graph_id, circuit_id=circuit_id, **batch)
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
    database.write(
        "write_neuron_set",
        circuit_ids=circuits,
        neuron_set_id=neuron_set_id,
        run_id=run_id,
        set_hash=chosen.set_hash,
        policy=chosen.policy,
        budget=float(chosen.budget),
        size=len(neurons),
        scoring_flops=chosen.scoring_flops,
    )
    for batch in _batches(neurons):
        database.write("write_neuron_set_members", run_id=run_id, neuron_set_id=neuron_set_id, **batch)
    return neuron_set_id


def write_training(database: Database, run_id: str, position: int, neuron_set_id: str) -> None:
    """Say that a stage trains a neuron set and no other. Raises AttrGraphError where the set is not stored."""
    stage_id = write_stage(database, run_id, position, None, {})
    if not database.write("write_training", stage_id=stage_id, neuron_set_id=neuron_set_id):
        raise AttrGraphError(f"there is no neuron set {neuron_set_id!r} for {stage_id} to train; save it first")


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
    database.write_until_none("delete_matches", **ends, batch_size=MEMBER_BATCH)
    for start in range(0, len(matches), MEMBER_BATCH):
        part = matches.iloc[start : start + MEMBER_BATCH]
        columns = dict(zip(("layers", "indices", "other_indices", "correlations"), MATCH_COLUMNS, strict=True))
        database.write("write_matches", **ends, **{name: part[column].tolist() for name, column in columns.items()})
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
