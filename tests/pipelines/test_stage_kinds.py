"""Stages of other kinds, with other policies, budgets and ends, through Dagster into Neo4j and back."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.training.data import load_data
from attrgraph_core.training.models import build_model
from attrgraph_core.training.weights import load_weights
from pipelines.experiments import load_experiment
from pipelines.stage_kind import settings_of, way_of_training
from tests.pipelines.conftest import with_stages

STAGES = """\
stages:
  - epochs: 30
    stop_when: {circuit_is_stable: {similarity: 0.6, epochs: 1, of: neurons, top_k: 4}}
  - {kind: head, epochs: 1}
  - epochs: 1
    learning_rate: scaled
    select:
      query: strongest_paths
      parameters: {top_k: 20}
      policy: query
      budget: 0.25
  - epochs: 1
    select:
      policy: {difference: [{inverse: staleness_displacement}, fisher]}
      budget: {share: 0.3, of: weights, scope: network}
  - {kind: random_layers, layers: 1, epochs: 1}
  - {kind: full, epochs: 1}
"""


def test_a_scaled_rate_and_the_neurons_of_a_kind(small_experiment: Path):
    stages = "stages:\n  - {epochs: 2}\n  - {kind: head, epochs: 1, learning_rate: scaled}\n"
    stages += "  - {kind: top_layers, layers: 2, epochs: 1, learning_rate: 0.5}\n"
    experiment = load_experiment(with_stages(small_experiment, stages))
    data = load_data("digits")
    model = build_model("mlp", {"hidden": [12, 8]}, data, 0)
    full, head, top = experiment.stages
    ways = [way_of_training(stage, model, data, 0, None) for stage in experiment.stages]
    assert ways[0].neuron_set is None
    assert ways[1].neuron_set is not None
    assert ways[1].neuron_set.neurons == {"output": tuple(range(10))}
    assert ways[2].neuron_set is not None
    assert ways[2].neuron_set.neurons == {"fc2": tuple(range(8)), "output": tuple(range(10))}
    rates = [
        settings_of(experiment, stage, model, way.neuron_set).learning_rate
        for stage, way in zip((full, head, top), ways, strict=True)
    ]
    assert rates == [0.02, pytest.approx(0.02 * 3**0.8), 0.5]  # 10 of 30 neurons


@pytest.mark.neo4j
def test_kinds_policies_budgets_and_an_early_end(run_with_stages: Callable[[str], Path], environment_store: Connection):
    folder = run_with_stages(STAGES)

    def record(name: str) -> dict:
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))

    first = record("stage_1_checkpoints")
    assert first["stopped_early"]
    assert 2 <= first["checkpoints"][-1]["epoch"] < 30
    kinds = [record(f"stage_{position}_checkpoints")["kind"] for position in range(1, 7)]
    assert kinds == ["full", "head", "targeted", "targeted", "random_layers", "full"]

    def moved(position: int) -> set[str]:
        before, after = (
            load_weights(folder / record(f"stage_{number}_checkpoints")["checkpoints"][-1]["file"])
            for number in (position - 1, position)
        )
        return {name.partition(".")[0] for name in after if not torch.equal(after[name], before[name])}

    assert moved(2) == {"output"}
    assert moved(5) in ({"fc1", "output"}, {"fc2", "output"})
    assert moved(6) == {"fc1", "fc2", "output"}
    # A set that a policy chose is in Neo4j, with what choosing it cost; what a kind trains is none.
    chosen = record("stage_3_neuron_set")
    assert chosen["policy"] == "difference(inverse(staleness_displacement), fisher)"
    hidden = {"fc1": 65, "fc2": 13}
    weights = sum(hidden[layer] * len(indices) for layer, indices in chosen["neurons"].items() if layer in hidden)
    assert 0 < weights <= 0.3 * (65 * 12 + 13 * 8)
    assert record("stage_1_neuron_set")["neuron_set_id"] is None
    with GraphStore.open(environment_store) as store:
        found = store.run_cypher(
            "MATCH (s:NeuronSet {run_id: $run_id}) RETURN s.policy AS policy, s.scoring_flops AS flops",
            {"run_id": folder.name},
        ).set_index("policy")["flops"]
    assert found["difference(inverse(staleness_displacement), fisher)"] == chosen["scoring_flops"] > 0
    by_query = record("stage_2_neuron_set")
    assert by_query["scoring_flops"] == record("stage_2_attribution_graphs")["last_epoch_flops"] > 0
    assert found["query"] == by_query["scoring_flops"]
    # The query policy took the neurons of the strongest paths, in their order.
    paths = pd.read_parquet(folder / "stage_2" / "circuit_2_strongest_paths.parquet")
    order = [name for names in paths["neurons"] for name in names if name.startswith("fc1/")]
    assert tuple(sorted(int(name[4:]) for name in list(dict.fromkeys(order))[:3])) == tuple(by_query["neurons"]["fc1"])
    history = pd.read_parquet(folder / "stage_4" / "history.parquet").set_index(["layer", "index"])["last_stage"]
    assert {key for key, stage in history.items() if stage == 4 and key[0] != "output"} == {
        (layer, index) for layer, indices in chosen["neurons"].items() for index in indices if layer != "output"
    }
