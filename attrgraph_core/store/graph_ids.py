"""The ids of what is stored: readable, and the same for the same thing."""

import hashlib
from collections.abc import Iterable

from attrgraph_core.errors import AttrGraphError

LONGEST_NAME_BYTES = 1000  # Neo4j's indexes take keys of 8 kB, and an id is made of four names at most


def check_name(what: str, name: str) -> str:
    """A name that ids are made of, or that an index holds. Raises AttrGraphError where Neo4j could not keep it."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise AttrGraphError(f"{what} {name!r} holds half a sign of Unicode, which cannot be stored") from None
    if size > LONGEST_NAME_BYTES:
        raise AttrGraphError(f"{what} {name[:50]!r}... has {size} bytes; {LONGEST_NAME_BYTES} are the most")
    return name


def check_run_id(run_id: str) -> str:
    """The run id. Raises AttrGraphError where ids made from it could be those of something else."""
    check_name("run_id", run_id)
    if not run_id or run_id.strip() != run_id or "/" in run_id:
        raise AttrGraphError(f"run_id is {run_id!r}; it must be a name without '/' and without spaces around it")
    return run_id


def stage_id(run_id: str, position: int) -> str:
    """Of the stage at a position, from 1, of a run."""
    if position < 1:
        raise AttrGraphError(f"stage is {position}; stages count from 1")
    return f"{check_run_id(run_id)}/stage_{position}"


def snapshot_id(run_id: str, position: int, epoch: int) -> str:
    """Of the network at the end of an epoch, from 0 (before any step), of a stage."""
    if epoch < 0:
        raise AttrGraphError(f"epoch is {epoch}; epochs count from 0")
    return f"{stage_id(run_id, position)}/epoch_{epoch}"


def graph_id(run_id: str, position: int, epoch: int, method: str, target: str) -> str:
    """Of the graph of a snapshot for one method and target."""
    check_name("method", method)
    check_name("target", target)
    return f"{snapshot_id(run_id, position, epoch)}/{method}/{target}"


def circuit_id(graph_id: str, query: str, query_hash: str, parameters: str) -> str:
    """Of what a query found in a graph: another text or other parameters (as JSON) of the query are another circuit."""
    return f"{graph_id}/{query}/{_short_hash(query_hash, parameters)}"


def neuron_set_id(run_id: str, circuit_ids: Iterable[str], policy: str, budget: float, set_hash: str) -> str:
    """Of a choice from circuits: the same neurons chosen from other circuits are another choice."""
    return f"{check_run_id(run_id)}/neuron_set/{_short_hash(*sorted(circuit_ids), policy, str(budget), set_hash)}"


def _short_hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
