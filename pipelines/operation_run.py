"""Surgery on a run's network, its report, and the way back; kept in `runs/<run_id>/surgery/<name>/`."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.operation import Operation, operate
from attrgraph_core.surgery.samples import Case
from attrgraph_core.surgery.weight_change import WeightChange
from attrgraph_core.training.weights import load_weights, save_weights, weights_hash
from pipelines.diagnosis import diagnose
from pipelines.progress import report_progress
from pipelines.run_folder import run_folder, write_atomically
from pipelines.run_model import RunModel

if TYPE_CHECKING:
    from attrgraph_core.store.graph_store import GraphStore

REMEDIES = 13  # about, for the progress bar


def run_operation(store: "GraphStore", run: RunModel, case: Case, name: str, steps: int) -> tuple[Operation, Path]:
    """Find edges to blame by the store's queries, operate, and write weights, the way back and the report."""
    folder = surgery_folder(run.run_id, name)
    parts = case.split()
    found = diagnose(store, run, parts[0].bad, parts[0].good)
    done = 0

    def report(what: str) -> None:
        nonlocal done
        done += 1
        report_progress("surgery", min(done, REMEDIES), REMEDIES, what)

    operation = operate(run.model, parts, found.edges, found.inputs, steps=steps, on_remedy=report)
    save_weights(folder / "mended.safetensors", run.model.state_dict(), {"of": str(run.file.name)})
    operation.change.save(folder / "undo.safetensors")
    operation.table.to_csv(folder / "report.csv", index=False)
    operation.doses.to_csv(folder / "doses.csv", index=False)
    operation.edges.to_csv(folder / "removed_edges.csv", index=False)
    about = {
        "run_id": run.run_id, "stage": run.stage, "epoch": run.epoch, "unrolled": run.is_unrolled,
        "advice": operation.advice, "method": operation.method, "failure_graph_id": found.failure_graph_id,
        "success_graph_id": found.success_graph_id, "circuit_id": found.circuit_id,
        "removed_edges": len(operation.edges), "changed_numbers": operation.change.count,
    }  # fmt: skip
    write_atomically(folder / "operation.json", json.dumps(about, indent=1))
    return operation, folder


def undo_operation(run_id: str, name: str) -> Path:
    """Write `restored.safetensors`, the very weights of before the operation; its path.

    Raises AttrGraphError where the mended weights are not those that the operation left.
    """
    folder = surgery_folder(run_id, name)
    if not (folder / "undo.safetensors").exists():
        known = sorted(path.parent.name for path in folder.parent.glob("*/undo.safetensors"))
        raise AttrGraphError(f"run {run_id!r} has no surgery {name!r}; it has {', '.join(known) or 'none'}")
    change = WeightChange.load(folder / "undo.safetensors")
    weights = load_weights(folder / "mended.safetensors")
    restored = change.undone(weights)
    path = folder / "restored.safetensors"
    save_weights(path, restored)
    assert weights_hash(load_weights(path)) == change.hash_before
    return path


def surgery_folder(run_id: str, name: str) -> Path:
    """Where a surgery is kept. Raises AttrGraphError for a name that is no plain word."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise AttrGraphError(f"the name {name!r} of a surgery is one word of letters, digits and _.-")
    folder = run_folder(run_id) / "surgery" / name
    return folder
