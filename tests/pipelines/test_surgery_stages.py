"""Stages that remove, train or mask what a circuit's query returned, and one that recycles, through Dagster."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.training.weights import load_weights, save_weights
from pipelines.experiments import load_experiment
from pipelines.frozen_weights import frozen_that_moved
from pipelines.records import CheckpointsRecord, NeuronSetRecord, Record
from tests.pipelines.conftest import with_stages

STAGES = """\
stages:
  - epochs: 1
  - {kind: ablate, epochs: 1, circuit: {query: top_edges, parameters: {top_k: 6}}}
  - {kind: edges, epochs: 1, circuit: {query: top_edges, target: "class:3", parameters: {top_k: 5}}}
  - {kind: mask_inputs, epochs: 1, circuit: {query: top_influential_neurons, parameters: {layer: input, top_k: 2}}}
  - {kind: recycle, epochs: 4, share: 0.125}
"""


@pytest.mark.neo4j
def test_each_kind_moves_what_it_says(
    run_with_stages: Callable[[str], Path], small_experiment: Path, environment_store: Connection
):
    folder = run_with_stages(STAGES)

    def record(name: str) -> dict:
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))

    def weights(position: int) -> dict[str, torch.Tensor]:
        return load_weights(folder / record(f"stage_{position}_checkpoints")["checkpoints"][-1]["file"])

    def circuit(position: int) -> pd.DataFrame:
        return pd.read_parquet(folder / record(f"stage_{position}_neuron_set")["circuit_file"])

    kinds = [record(f"stage_{position}_checkpoints")["kind"] for position in range(1, 6)]
    assert kinds == ["full", "ablate", "edges", "mask_inputs", "recycle"]
    removed = circuit(1)
    assert len(removed) == 6
    after = weights(2)
    for row in removed.itertuples():
        assert after[f"{row.target_layer}.weight"][row.target_index, row.source_index] == 0.0
    assert (folder / "stage_2" / "removed.safetensors").exists()
    trained = {(f"{row.target_layer}.weight", row.target_index, row.source_index) for row in circuit(2).itertuples()}
    now = weights(3)
    moved = {(name, *place) for name in now for place in (now[name] != after[name]).nonzero().tolist()}
    assert moved == trained
    assert record("stage_3_checkpoints")["trained_weights"] == 5
    check_of_frozen_weights(small_experiment, folder)
    masked = circuit(3)["index"].tolist()
    assert (weights(4)["fc1.weight"][:, masked] == 0).all()
    with GraphStore.open(environment_store) as store:
        known = store.query("stored_circuits", run_id=folder.name)["circuit_id"].tolist()
    assert all(record(f"stage_{position}_neuron_set")["circuit_id"] in known for position in (1, 2, 3))


def check_of_frozen_weights(experiment_file: Path, folder: Path) -> None:
    """The check of the stage that trained edges passes, and names a frozen weight that moved by a bit."""

    def read(name: str, kind: type[Record]) -> Any:
        return kind.model_validate_json((folder / f"{name}.json").read_text(encoding="utf-8"))

    checkpoints, previous = (read(f"stage_{position}_checkpoints", CheckpointsRecord) for position in (3, 2))
    about = load_experiment(experiment_file), 0, checkpoints, previous, read("stage_2_neuron_set", NeuronSetRecord)
    assert frozen_that_moved(*about) == []
    path = folder / checkpoints.last.file
    kept = path.read_bytes()
    weights = load_weights(path)
    still = (weights["fc2.weight"] == load_weights(folder / previous.last.file)["fc2.weight"]).nonzero()[0].tolist()
    weights["fc2.weight"][tuple(still)] += 1e-6
    save_weights(path, weights)
    assert frozen_that_moved(*about) == ["fc2.weight"]
    path.write_bytes(kept)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("- {kind: ablate, epochs: 1, circuit: {query: top_edges}}", "no graph before it to find a circuit in"),
        ("- {epochs: 1}\n  - {kind: ablate, epochs: 1}", "of kind 'ablate' needs 'circuit'"),
        ("- {epochs: 1}\n  - {kind: head, epochs: 1, circuit: {query: top_edges}}", "'circuit' is for stages of kind"),
        ("- {epochs: 1}\n  - {kind: edges, epochs: 1, circuit: {query: graph_sizes}}", "returns no neurons"),
        ("- {epochs: 1}\n  - {kind: recycle, epochs: 1}", "of kind 'recycle' needs 'share'"),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(small_experiment: Path, stages: str, message: str):
    with_stages(small_experiment, f"stages:\n  {stages}\n")
    with pytest.raises(AttrGraphError, match=message):
        load_experiment(small_experiment)
