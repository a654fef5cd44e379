"""Retention: which snapshots the rules keep, and that deleting the others loses nothing else."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store import graph_writer
from attrgraph_core.store.database import Database
from attrgraph_core.store.retention import RetentionPlan, RetentionRules
from attrgraph_core.targeting.neuron_set import NeuronSet

pytestmark = pytest.mark.neo4j

# stage, epoch -> accuracy, loss: the best of each are neither ends nor multiples of 4
SNAPSHOTS = {
    (1, 0): (0.1, 2.0), (1, 1): (0.2, 1.5), (1, 2): (0.9, 1.2), (1, 3): (0.4, 1.0), (1, 4): (0.5, 0.9),
    (1, 5): (0.6, 0.8), (2, 1): (0.7, 0.1), (2, 2): (0.7, 0.5), (2, 3): (0.8, 0.4),
}  # fmt: skip


@pytest.fixture
def filled(store, run_id, graph):
    """A run with a graph of each of SNAPSHOTS, and one of class 1 at stage 1, epoch 1."""
    for (stage, epoch), (accuracy, loss) in SNAPSHOTS.items():
        store.save(graph, run_id=run_id, stage=stage, epoch=epoch, accuracy=accuracy, loss=loss, edge_mass=1.0)
    store.save(dataclasses.replace(graph, target="class:1"), run_id=run_id, stage=1, epoch=1)
    return run_id


def kept(plan: RetentionPlan) -> list[tuple[int, int]]:
    rows = plan.kept.drop_duplicates("snapshot_id")
    return list(zip(rows["stage"], rows["epoch"], strict=True))


def content_hashes(store, run_id: str) -> dict[str, str]:
    text = "MATCH (g:AttributionGraph {run_id: $run_id}) RETURN g.graph_id AS graph_id, g.content_hash AS hash"
    return store.run_cypher(text, {"run_id": run_id}).set_index("graph_id")["hash"].to_dict()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (RetentionRules(last=2), [(2, 2), (2, 3)]),
        (RetentionRules(every=2), [(1, 0), (1, 2), (1, 4), (2, 2)]),
        (RetentionRules(stage_ends=True), [(1, 5), (2, 3)]),
        (RetentionRules(best="accuracy"), [(1, 2)]),
        (RetentionRules(best="loss"), [(2, 1)]),
        (RetentionRules(last=1, every=4, best="loss"), [(1, 0), (1, 4), (2, 1), (2, 3)]),
        (RetentionRules(last=100), list(SNAPSHOTS)),
    ],
)
def test_what_each_rule_keeps(store, filled, rules, expected):
    plan = store.plan_retention(rules, [filled])
    assert kept(plan) == expected
    assert len(plan.going) + len(plan.kept) == len(SNAPSHOTS) + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no rule says what to keep"),
        ({"last": 0}, "keep last is 0"),
        ({"every": -1}, "keep every is -1"),
        ({"best": "beauty"}, "keep best is 'beauty'; it must be one of accuracy, loss"),
    ],
)
def test_rules_that_are_none_are_refused(arguments, message):
    with pytest.raises(AttrGraphError, match=message):
        RetentionRules(**arguments)


def test_planning_changes_nothing_and_an_unknown_run_is_named(store, filled, contents):
    before = contents()
    store.plan_retention(RetentionRules(last=1), [filled])
    assert contents() == before
    with pytest.raises(AttrGraphError, match=f"there is no run '{filled}x'; did you mean {filled}"):
        store.plan_retention(RetentionRules(last=1), [filled + "x"])


def test_what_goes_is_gone_and_what_stays_is_the_same(store, filled, contents):
    before = contents()
    hashes = content_hashes(store, filled)
    plan = store.plan_retention(RetentionRules(every=4, stage_ends=True), [filled])
    nodes, relationships = store.counts()
    done = []
    pruned = store.prune(plan, lambda *progress: done.append(progress))
    assert (pruned.graph_count, pruned.edge_count, pruned.skipped) == (6, 5 * 5 + 5, ())
    assert done[-1] == (6, 6)
    # a graph is a node with 5 states, each with HAS_STATE and STATE_OF, 5 edges, and HAS_GRAPH
    nodes_now, relationships_now = store.counts()
    assert (nodes - nodes_now, relationships - relationships_now) == (6 * 6, 6 * (5 * 2 + 5 + 1))
    after = contents()
    kept_ids = set(plan.kept["graph_id"])
    assert content_hashes(store, filled) == {graph_id: hashes[graph_id] for graph_id in kept_ids}
    assert set(store.graphs(filled)["graph_id"]) == kept_ids
    assert all(len(store.graph(graph_id).edges) == 5 for graph_id in kept_ids)
    # every snapshot is there with its figures, the emptied ones marked; neurons are untouched
    snapshots = {p["snapshot_id"]: p for labels, p, _ in after.values() if labels == ["Snapshot"]}
    assert {(p["accuracy"], p["loss"]) for p in snapshots.values()} == set(SNAPSHOTS.values())
    assert {s for s, p in snapshots.items() if "pruned_at" in p} == set(plan.going["snapshot_id"])
    assert store.pruned_snapshots(filled) == set(plan.going["snapshot_id"])
    assert [p for labels, p, _ in before.values() if labels == ["Neuron"]] == [
        p for labels, p, _ in after.values() if labels == ["Neuron"]
    ]
    # the same rules again keep the same
    assert store.plan_retention(RetentionRules(every=4, stage_ends=True), [filled]).going.empty


def test_a_graph_that_training_rests_on_stays(store, filled):
    graph_id = f"{filled}/stage_1/epoch_1/deeplift/label"
    table = store.query("neuron_influence", graph_id=graph_id)
    circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
    store.save_circuit(f"{filled}/stage_1/epoch_1/deeplift/class:1", "neuron_influence", {}, table)
    chosen = NeuronSet({"fc1": (0,)}, "top_influence", 0.5)
    store.save_training(filled, 2, store.save_neuron_set([circuit_id], chosen, run_id=filled))
    plan = store.plan_retention(RetentionRules(last=1), [filled])
    assert plan.kept.set_index("graph_id")["kept_for"].to_dict() == {
        graph_id: "training", f"{filled}/stage_2/epoch_3/deeplift/label": "last",
    }  # fmt: skip
    assert plan.going["circuit_count"].sum() == 1  # the loss is said before
    assert store.prune(plan).circuit_count == 1
    (row,) = store.query("choosing_query", stage_id=f"{filled}/stage_2").to_dict("records")
    assert row["graph_id"] == graph_id
    assert len(store.graph(graph_id).edges) == 5


def test_a_choice_made_after_the_plan_is_not_deleted(store, filled):
    plan = store.plan_retention(RetentionRules(last=1), [filled])
    graph_id = f"{filled}/stage_1/epoch_1/deeplift/label"
    circuit_id = store.save_circuit(
        graph_id, "neuron_influence", {}, store.query("neuron_influence", graph_id=graph_id)
    )
    store.save_neuron_set([circuit_id], NeuronSet({"fc1": (0,)}, "top_influence", 0.5), run_id=filled)
    assert store.prune(plan).skipped == (graph_id,)
    assert len(store.graph(graph_id).edges) == 5


def test_a_set_chosen_from_a_graph_that_is_being_deleted_is_refused(store, filled, monkeypatch):
    """Retention has looked whether a set was chosen from the graph, and has not deleted it yet."""
    graph_id = f"{filled}/stage_1/epoch_1/deeplift/label"
    circuit_id = store.save_circuit(
        graph_id, "neuron_influence", {}, store.query("neuron_influence", graph_id=graph_id)
    )
    whole, refused = Database.write, []

    def write(self, name, **parameters):
        if name == "delete_graph" and parameters["graph_id"] == graph_id:
            with pytest.raises(AttrGraphError, match="or a circuit's graph is being deleted or written") as error:
                store.save_neuron_set([circuit_id], NeuronSet({"fc1": (0,)}, "top_influence", 0.5), run_id=filled)
            refused.append(error)
        return whole(self, name, **parameters)

    monkeypatch.setattr(Database, "write", write)
    store.prune(store.plan_retention(RetentionRules(last=1), [filled]))
    assert len(refused) == 1
    assert len(store.run_cypher("MATCH (set:NeuronSet {run_id: $id}) RETURN set", {"id": filled})) == 0


def test_a_running_run_keeps_all_unless_it_is_named(store, filled):
    store.save_run(filled, "retention_tests", seed=0, config_hash="c", code_version="v", status="running")
    plan = store.plan_retention(RetentionRules(last=1), experiments=["retention_tests"])
    assert set(plan.kept["kept_for"]) == {"running", "last"}
    assert plan.going.empty
    assert len(store.plan_retention(RetentionRules(last=1), [filled]).going) == len(SNAPSHOTS)
    store.finish_run(filled, "complete")
    assert len(store.plan_retention(RetentionRules(last=1), experiments=["retention_tests"]).going) == len(SNAPSHOTS)


def test_pruning_stopped_anywhere_goes_on(store, filled, monkeypatch):
    """Stopped before each of its writes in turn: what is half gone is never read, and the same again ends it."""
    rules = RetentionRules(stage_ends=True)
    whole = Database.write
    monkeypatch.setattr(graph_writer, "DELETE_BATCH", 2)
    for count in itertools.count():
        left = count

        def write(self, name, **parameters):
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return whole(self, name, **parameters)

        with monkeypatch.context() as patch:
            patch.setattr(Database, "write", write)
            try:
                store.prune(store.plan_retention(rules, [filled]))
            except KeyboardInterrupt:
                for graph_id in store.graphs(filled)["graph_id"]:
                    assert len(store.graph(graph_id).edges) == 5
            else:
                break
    assert count >= 3  # a new graph is reached each time, since what was done stays done
    assert len(store.graphs(filled)) == 2
    left_over = "MATCH (s:NeuronState) WHERE s.graph_id STARTS WITH $run_id RETURN count(*) AS count"
    assert store.run_cypher(left_over, {"run_id": filled})["count"].tolist() == [10]


def test_a_pruned_snapshot_that_is_written_again_is_whole(store, filled, graph):
    store.prune(store.plan_retention(RetentionRules(last=1), [filled]))
    store.save(graph, run_id=filled, stage=1, epoch=3)
    assert f"{filled}/stage_1/epoch_3" not in store.pruned_snapshots(filled)


def test_a_big_graph_is_deleted_in_batches(store, run_id):
    """60 000 edges, over hubs of 200 edges each: one transaction each of DELETE_BATCH at most."""
    sources, targets = np.divmod(np.arange(60_000), 200)
    neurons = pd.DataFrame(
        {
            "layer": ["input"] * 300 + ["out"] * 200,
            "index": [*range(300), *range(200)],
            "kind": ["input"] * 300 + ["output"] * 200,
            "attribution": 1.0,
            "abs_attribution": 1.0,
        }
    )
    edges = pd.DataFrame(
        {
            "source_layer": "input", "source_index": sources, "target_layer": "out", "target_index": targets,
            "weight": 1.0, "abs_weight": 1.0,
        }
    )  # fmt: skip
    big = AttributionGraph(neurons, edges, "deeplift", "label", "zeros", 1, 0.0)
    for epoch in (0, 1):
        store.save(big, run_id=run_id, stage=1, epoch=epoch, edge_mass=1.0, max_edges_per_neuron=1000)
    _, before = store.counts()
    assert store.prune(store.plan_retention(RetentionRules(last=1), [run_id])).edge_count == 60_000
    assert before - store.counts()[1] == 60_000 + 500 * 2 + 1
