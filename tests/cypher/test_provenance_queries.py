"""Queries for where a neuron's training came from: rows worked out by hand; see `history` in conftest."""

import json
import uuid

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.neuron_set import NeuronSet
from tests.cypher.conftest import HISTORY
from tests.random_graphs import make_random_graph

pytestmark = pytest.mark.neo4j

MIDDLE = f"{HISTORY}/stage_1/epoch_1/deeplift/label"


def rows(table):
    return list(table.itertuples(index=False, name=None))


@pytest.mark.usefixtures("history")
def test_what_trained_a_neuron_and_why(store):
    found = store.query("training_of_neuron", run_id=HISTORY, layer="fc1", index=0)
    first, second = found.drop(columns=["influence", "rank"]).itertuples(index=False, name=None)
    assert first == (1, "full", "", "", "", "")
    asked = json.dumps({"graph_id": MIDDLE})
    assert second == (2, "targeted", "top_influence", "neuron_influence", asked, MIDDLE)
    np.testing.assert_array_equal(found["influence"], [np.nan, 4.0])
    np.testing.assert_array_equal(found["rank"], [np.nan, 1.0])


@pytest.mark.usefixtures("history")
def test_a_neuron_that_was_not_chosen_was_trained_by_the_full_stage_alone(store):
    found = store.query("training_of_neuron", run_id=HISTORY, layer="fc1", index=1)
    assert found["stage"].tolist() == [1]


@pytest.mark.usefixtures("history")
def test_the_stages_in_which_a_neuron_was_in_the_set(store):
    assert rows(store.query("neuron_set_membership", run_id=HISTORY)) == [("fc1", 0, "unit", [2], 1)]
    assert store.query("neuron_set_membership", run_id=HISTORY, layer="fc1", index=1).empty


def test_membership_counts_every_stage(store):
    run = f"random-{uuid.uuid4().hex[:8]}"
    generator = np.random.default_rng(0)
    expected: dict[int, list[int]] = {}
    for stage in range(1, 6):
        graph_id = store.save(make_random_graph(stage), run_id=run, stage=stage, epoch=0).graph_id
        table = store.query("neuron_influence", graph_id=graph_id)
        circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
        chosen = tuple(generator.choice(4, 2, replace=False).tolist())
        neuron_set = store.save_neuron_set([circuit_id], NeuronSet({"fc2": chosen}, "random", 0.5), run_id=run)
        store.save_training(run, stage + 1, neuron_set)
        for index in chosen:
            expected.setdefault(index, []).append(stage + 1)
    found = store.query("neuron_set_membership", run_id=run, layer="fc2")
    store.delete_run(run)
    assert dict(zip(found["index"], found["stages"], strict=True)) == expected
    assert found["stage_count"].is_monotonic_decreasing


def test_what_circuits_are_kept(store, history):
    """`found` has two inputs and fc1/0, and two edges between; `chosen` the three units."""
    found = store.query("stored_circuits", run_id=HISTORY).set_index("circuit_id")
    columns = ["query", "neuron_count", "edge_count", "neuron_share", "is_stale", "neuron_set_ids", "graph_id"]
    assert found.loc[history["found"], columns].tolist() == [
        "top_influential_neurons", 3, 2, 3 / 7, False, [], MIDDLE
    ]  # fmt: skip
    assert found.loc[history["chosen"], columns].tolist() == [
        "neuron_influence", 3, 0, 3 / 7, False, [history["neuron_set"]], MIDDLE
    ]  # fmt: skip
    of_one = store.query("stored_circuits", run_id=HISTORY, query="neuron_influence")
    assert of_one["circuit_id"].tolist() == [history["chosen"]]


@pytest.mark.usefixtures("history")
def test_the_gain_of_a_query_per_weight(store):
    """From .75 to .8 with 500 weights: 100 a million."""
    found = store.query("gain_of_queries", experiment="query_history")
    expected = ("neuron_influence", "top_influence", 0.25, 1, 0.05, 500.0, 100.0)
    assert rows(found) == [tuple(pytest.approx(v) if isinstance(v, float) else v for v in expected)]
    with pytest.raises(AttrGraphError, match="there is no experiment 'nothing'"):
        store.query("gain_of_queries", experiment="nothing")


def test_gains_of_several_stages_are_summed_over_their_weights(store):
    run, experiment = f"random-{uuid.uuid4().hex[:8]}", f"gains-{uuid.uuid4().hex[:8]}"
    store.save_run(run, experiment, seed=0, config_hash="c", code_version="v")
    accuracies, weights = [0.2, 0.5, 0.4, 0.7], [1000, 100, 200, 300]
    known: dict[str, list[tuple[float, int]]] = {"neuron_influence": [], "central_neurons": []}
    neuron_sets = []
    for stage, (accuracy, weight) in enumerate(zip(accuracies, weights, strict=True), start=1):
        store.save_stage(run, stage, "targeted", trained_weights=weight)
        graph_id = store.save(make_random_graph(stage), run_id=run, stage=stage, epoch=1, accuracy=accuracy).graph_id
        if neuron_sets:
            store.save_training(run, stage, neuron_sets[-1])
            query = "neuron_influence" if stage == 2 else "central_neurons"
            known[query].append((accuracy - accuracies[stage - 2], weight))
        query = "neuron_influence" if stage == 1 else "central_neurons"
        circuit_id = store.save_circuit(graph_id, query, {}, pd.DataFrame({"layer": ["fc1"], "index": [0]}))
        neuron_sets.append(store.save_neuron_set([circuit_id], NeuronSet({"fc1": (0,)}, "random", 0.5), run_id=run))
    found = store.query("gain_of_queries", experiment=experiment).set_index("query")["gain_per_weight"].to_dict()
    store.delete_run(run)
    expected = {query: sum(g for g, _ in gains) / sum(w for _, w in gains) * 1e6 for query, gains in known.items()}
    assert found == pytest.approx(expected)
