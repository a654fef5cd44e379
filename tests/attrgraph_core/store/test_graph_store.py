import dataclasses

import pandas as pd
import pytest
import torch
from torch import nn

from attrgraph_core import attribute
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.sparsify import sparsify
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore

pytestmark = pytest.mark.neo4j


def test_a_graph_comes_back_as_it_was_saved(store, run_id, graph):
    saved = store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=0.7)
    assert saved.graph_id == f"{run_id}/stage_1/epoch_0/deeplift/label"
    assert dataclasses.asdict(saved) == {
        "graph_id": saved.graph_id, "target": "label", "node_count": 5, "edge_count": 3, "total_edge_count": 5,
        "kept_mass": 13 / 16, "completeness_delta": 0.25,
    }  # fmt: skip
    found, expected = store.graph(saved.graph_id), sparsify(graph, edge_mass=0.7).graph
    pd.testing.assert_frame_equal(found.neurons, expected.neurons)
    pd.testing.assert_frame_equal(found.edges, expected.edges)
    for name in ("method", "target", "baseline", "sample_count", "completeness_delta"):
        assert getattr(found, name) == getattr(graph, name)


def test_a_graph_without_edges_comes_back(store, run_id, graph):
    empty = dataclasses.replace(graph, edges=graph.edges.iloc[:0])
    found = store.graph(store.save(empty, run_id=run_id, stage=1, epoch=0).graph_id)
    assert len(found.neurons) == 5
    assert list(found.edges.columns) == list(graph.edges.columns)
    assert len(found.edges) == 0


def test_a_graph_of_a_method_without_edges_comes_back(store, run_id):
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    graph = attribute(network, torch.ones(2, 3), 1, method="layer_integrated_gradients")
    saved = store.save(graph, run_id=run_id, stage=1, epoch=0)
    assert saved.graph_id.endswith("/layer_integrated_gradients/class:1")
    assert (saved.node_count, saved.edge_count, saved.total_edge_count, saved.kept_mass) == (7, 0, 0, 1.0)
    found = store.graph(saved.graph_id)
    assert found.neurons["attribution"].tolist() == pytest.approx(graph.neurons["attribution"].tolist())


def test_neurons_need_not_count_from_zero(store, run_id, graph):
    neurons, edges = graph.neurons.copy(), graph.edges.copy()
    neurons.loc[neurons["layer"] == "input", "index"] += 700
    edges.loc[edges["source_layer"] == "input", "source_index"] += 700
    sparse = dataclasses.replace(graph, neurons=neurons, edges=edges)
    found = store.graph(store.save(sparse, run_id=run_id, stage=1, epoch=0, edge_mass=1.0).graph_id)
    pd.testing.assert_frame_equal(found.edges, edges)


def test_saving_twice_changes_nothing(store, run_id, graph, contents):
    store.save(graph, run_id=run_id, stage=1, epoch=0, loss=0.5, accuracy=0.75)
    before = contents()
    store.save(graph, run_id=run_id, stage=1, epoch=0, loss=0.5, accuracy=0.75)
    assert contents() == before
    assert len(before) == 4 + 5 + 5  # run, stage, snapshot, graph; states; neurons


def test_saving_another_graph_of_the_same_id_replaces_it(store, run_id, scaled):
    store.save(scaled(1.0), run_id=run_id, stage=1, epoch=0, edge_mass=1.0)
    saved = store.save(scaled(2.0), run_id=run_id, stage=1, epoch=0, edge_mass=1.0)
    assert store.graph(saved.graph_id).edges["weight"].tolist() == [4.0, -2.0, -8.0, 2.0, -4.0]
    assert len(store.graphs(run_id)) == 1


def test_snapshots_follow_each_other_across_stages(store, run_id, graph):
    for stage, epoch in [(2, 1), (1, 0), (2, 0), (1, 5)]:
        store.save(graph, run_id=run_id, stage=stage, epoch=epoch)
    links = store.run_cypher(
        "MATCH (a:Snapshot)-[:NEXT]->(b) WHERE a.snapshot_id STARTS WITH $run_id "
        "RETURN a.snapshot_id AS a, b.snapshot_id AS b ORDER BY a",
        {"run_id": run_id},
    )
    names = [f"{run_id}/stage_{stage}/epoch_{epoch}" for stage, epoch in [(1, 0), (1, 5), (2, 0), (2, 1)]]
    assert list(zip(links["a"], links["b"], strict=True)) == [
        (names[0], names[1]), (names[1], names[2]), (names[2], names[3]),
    ]  # fmt: skip


def test_loss_and_accuracy_stay_where_they_are_not_given_again(store, run_id, graph):
    store.save(graph, run_id=run_id, stage=1, epoch=0, loss=0.5, accuracy=0.75)
    store.save(dataclasses.replace(graph, target="class:1"), run_id=run_id, stage=1, epoch=0)
    table = store.graphs(run_id)
    assert table[["target", "loss", "accuracy"]].to_numpy().tolist() == [["class:1", 0.5, 0.75], ["label", 0.5, 0.75]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stage": 0}, "stage is 0; stages count from 1"),
        ({"epoch": -1}, "epoch is -1"),
        ({"run_id": "a/b"}, "run_id is 'a/b'"),
        ({"loss": float("nan")}, "loss of .* is nan"),
        ({"edge_mass": 0.0}, "edge_mass is 0.0"),
    ],
)
def test_refuses_to_save_under_nonsense(store, run_id, graph, arguments, message):
    with pytest.raises(AttrGraphError, match=message):
        store.save(graph, **{"run_id": run_id, "stage": 1, "epoch": 0, **arguments})


def test_nothing_is_written_of_a_malformed_graph(store, run_id, graph, contents):
    edges = graph.edges.copy()
    edges.loc[4, "weight"] = float("nan")
    with pytest.raises(AttrGraphError, match="weight is nan"):
        store.save(dataclasses.replace(graph, edges=edges), run_id=run_id, stage=1, epoch=0)
    edges.loc[4, ["weight", "target_index"]] = [1.0, 9]
    with pytest.raises(AttrGraphError, match="neuron fc2/9"):
        store.save(dataclasses.replace(graph, edges=edges), run_id=run_id, stage=1, epoch=0)
    assert contents() == {}


def test_an_unknown_graph_is_no_empty_answer(store, run_id, graph):
    saved = store.save(graph, run_id=run_id, stage=1, epoch=0)
    with pytest.raises(AttrGraphError, match=rf"no complete graph '{saved.graph_id}s'; did you mean {saved.graph_id}"):
        store.query("neuron_influence", graph_id=saved.graph_id + "s")
    with pytest.raises(AttrGraphError, match="no complete graph"):
        store.graph("nowhere")


def test_an_empty_answer_has_typed_columns(store, run_id, graph):
    saved = store.save(graph, run_id=run_id, stage=1, epoch=0)
    table = store.query("growing_neurons", graph_id=saved.graph_id)
    assert len(table) == 0
    text = "object" if pd.__version__ < "3" else "str"
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {
        "layer": text, "index": "int64", "kind": text, "influence": "float64", "influence_before": "float64",
        "growth": "float64",
    }  # fmt: skip


WRITES = [
    "CREATE (:Run {run_id: 'sneaky'})",
    "MATCH (run:Run) SET run.sneaky = true",
    "MATCH (run:Run) DETACH DELETE run",
    "CALL db.createLabel('Sneaky')",
    "CREATE INDEX sneaky IF NOT EXISTS FOR (run:Run) ON (run.sneaky)",
    "MATCH (run:Run) CALL (run) { SET run.sneaky = true } IN TRANSACTIONS OF 1 ROW",
    "CREATE USER sneaky SET PASSWORD 'sneaky-sneaky'",
]


@pytest.mark.parametrize("text", WRITES)
def test_a_write_is_refused_where_only_reading_is_allowed(store, run_id, graph, contents, text):
    store.save(graph, run_id=run_id, stage=1, epoch=0)
    before = contents()
    with pytest.raises(AttrGraphError, match="this statement writes, and it was run read-only"):
        store.run_cypher(text)
    assert contents() == before


def test_a_write_that_is_meant_is_done(store, run_id, graph):
    store.save(graph, run_id=run_id, stage=1, epoch=0)
    text = "MATCH (run:Run {run_id: $run_id}) SET run.note = 'seen' RETURN run.note AS note, run"
    table = store.run_cypher(text, {"run_id": run_id}, read_only=False)
    assert table["note"].tolist() == ["seen"]
    assert table["run"][0]["labels"] == ["Run"]


def test_a_mistake_in_cypher_is_an_error_of_ours(store):
    with pytest.raises(AttrGraphError, match="Variable `nothing` not defined"):
        store.run_cypher("RETURN nothing")


def test_paths_and_times_become_plain_values(store):
    table = store.run_cypher("RETURN date('2026-01-02') AS day, {list: [duration('P1D')]} AS nested")
    assert str(table["day"][0]) == "2026-01-02"


def test_a_server_that_is_not_there_is_an_error_of_ours():
    with pytest.raises(AttrGraphError, match=r"127\.0\.0\.1:1 does not answer"):
        GraphStore.open(Connection("bolt://127.0.0.1:1", "neo4j", "password", "environment"))


def test_deleting_a_run_leaves_the_others(store, run_id, graph, contents):
    store.save_run(run_id, "kept", seed=0, config_hash="c", code_version="v")
    store.save(graph, run_id=run_id, stage=1, epoch=0)
    before = contents()
    other = f"{run_id}-other"
    store.save_run(other, "deleted", seed=1, config_hash="c", code_version="v")
    for epoch in (0, 1):
        saved = store.save(graph, run_id=other, stage=1, epoch=epoch)
        table = store.query("neuron_influence", graph_id=saved.graph_id)
        store.save_circuit(saved.graph_id, "neuron_influence", {}, table)
    assert store.delete_run(other) == 2
    assert contents() == before
    left = store.run_cypher(
        "MATCH (node) WHERE any(key IN keys(node) WHERE toStringOrNull(node[key]) STARTS WITH $other) "
        "OR node:Experiment AND node.name = 'deleted' RETURN node",
        {"other": other},
    )
    assert len(left) == 0
    with pytest.raises(AttrGraphError, match="no run"):
        store.delete_run(other)
