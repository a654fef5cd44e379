"""What of a run is still to be made: an interrupted one goes on after the last asset that is whole."""

from typing import TYPE_CHECKING

from pipelines.experiments import Experiment
from pipelines.records import CheckpointsRecord, CircuitsRecord, GraphsRecord
from pipelines.run_folder import record_path, run_folder

if TYPE_CHECKING:
    from attrgraph_core.store.graph_store import GraphStore


def assets_of(experiment: Experiment) -> list[str]:
    """The assets of one run of an experiment, in the order in which they are made."""
    names = ["dataset"]
    for position in range(1, len(experiment.stages) + 1):
        parts = ["checkpoints", "attribution_graphs", "circuits", "neuron_set"]
        if position == len(experiment.stages):
            parts.remove("neuron_set")
        names += [f"stage_{position}_{part}" for part in parts]
    return names


def pending_assets(experiment: Experiment, seed: int, store: "GraphStore") -> list[str]:
    """The assets from the first that is missing on; none where the run is whole.

    Graphs that the store no longer holds, and weights and tables that are gone, are missing, whatever the record says;
    graphs that retention deleted are not.
    """
    names = assets_of(experiment)
    stored: set[str] | None = None
    for place, name in enumerate(names):
        path = record_path(experiment, seed, name)
        if not path.exists():
            return names[place:]
        if not _files_are_there(experiment, seed, name, path.read_text(encoding="utf-8")):
            return names[place:]
        if name.endswith("_attribution_graphs"):
            stored = set(store.graphs(experiment.run_id(seed))["graph_id"]) if stored is None else stored
            record = GraphsRecord.model_validate_json(path.read_text(encoding="utf-8"))
            missing = {graph.graph_id for graph in record.graphs} - stored
            if missing and not _were_pruned(missing, store.pruned_snapshots(experiment.run_id(seed))):
                return names[place:]
    return []


def _were_pruned(graph_ids: set[str], pruned_snapshots: set[str]) -> bool:
    """Whether all of these graphs, `<snapshot_id>/<method>/<target>`, were of snapshots that retention emptied."""
    return all(any(graph_id.startswith(f"{snapshot}/") for snapshot in pruned_snapshots) for graph_id in graph_ids)


def _files_are_there(experiment: Experiment, seed: int, name: str, record: str) -> bool:
    folder = run_folder(experiment.run_id(seed))
    files: list[str] = []
    if name.endswith("_checkpoints"):
        files = [checkpoint.file for checkpoint in CheckpointsRecord.model_validate_json(record).checkpoints]
    elif name.endswith("_circuits"):
        files = [circuit.file for circuit in CircuitsRecord.model_validate_json(record).circuits]
    return all((folder / file).is_file() for file in files)


def forget_records(experiment: Experiment, seed: int) -> None:
    """Remove the records of a run, so that one interrupted is seen as such; weights and tables are overwritten."""
    for path in run_folder(experiment.run_id(seed)).glob("*.json"):
        path.unlink()
