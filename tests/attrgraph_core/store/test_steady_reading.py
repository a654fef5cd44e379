"""What is asked of a graph while somebody replaces or deletes it."""

import threading

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store import steady_reading
from attrgraph_core.store.database import Database
from attrgraph_core.store.queries import load_query, query_names
from attrgraph_core.store.retention import RetentionRules
from attrgraph_core.store.steady_reading import Reach, reach_of
from attrgraph_core.targeting.neuron_set import NeuronSet

pytestmark = pytest.mark.neo4j


@pytest.fixture
def during_a_read(monkeypatch):
    """Have something happen after the server gave a query's rows, and before they are handed on."""
    whole = Database.read

    def arrange(query_name, happening, times=1):
        left = [times]

        def read(self, query, parameters, computed=None):
            is_now = query.name == query_name and left[0] > 0
            left[0] -= is_now
            found = whole(self, query, parameters, computed)
            if is_now:
                happening()
            return found

        monkeypatch.setattr(Database, "read", read)

    return arrange


def test_a_graph_replaced_while_a_query_reads_it_is_asked_again(store, run_id, graph, scaled, during_a_read):
    place = {"run_id": run_id, "stage": 1, "epoch": 0, "edge_mass": 1.0}
    graph_id = store.save(graph, **place).graph_id
    during_a_read("graph_edges", lambda: store.save(scaled(3.0), **place))
    assert store.query("graph_edges", graph_id=graph_id)["weight"].tolist() == [6.0, -3.0, -12.0, 3.0, -6.0]


def test_a_graph_completed_after_a_query_found_none_gives_its_rows(store, run_id, graph, scaled, monkeypatch):
    """Not an empty table, which would read as an answer."""
    place = {"run_id": run_id, "stage": 1, "epoch": 0, "edge_mass": 1.0}
    graph_id = store.save(graph, **place).graph_id
    begun, read_none = threading.Event(), threading.Event()
    whole_write, whole_read = Database.write, Database.read

    def write(self, name, **parameters):
        found = whole_write(self, name, **parameters)
        if name == "begin_graph":
            begun.set()
            assert read_none.wait(60)
        return found

    def read(self, query, parameters, computed=None):
        if query.name == "known_ids":  # asked of a query that found nothing
            read_none.set()
            writer.join(60)
        return whole_read(self, query, parameters, computed)

    monkeypatch.setattr(Database, "write", write)
    writer = threading.Thread(target=lambda: store.save(scaled(3.0), **place))
    writer.start()
    assert begun.wait(60)
    monkeypatch.setattr(Database, "read", read)
    assert len(store.query("graph_edges", graph_id=graph_id)) == 5


def test_a_graph_deleted_while_a_query_reads_it_gives_no_rows(store, run_id, graph, during_a_read):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0).graph_id
    during_a_read("graph_edges", lambda: store.delete_run(run_id))
    with pytest.raises(AttrGraphError, match="there is no complete graph"):
        store.query("graph_edges", graph_id=graph_id)


def test_a_graph_replaced_again_and_again_is_refused(store, run_id, graph, scaled, during_a_read, monkeypatch):
    monkeypatch.setattr(steady_reading, "PATIENCE_SECONDS", 0.0)
    place = {"run_id": run_id, "stage": 1, "epoch": 0, "edge_mass": 1.0}
    graph_id = store.save(graph, **place).graph_id
    factors = iter((2.0, 3.0, 4.0))
    during_a_read("top_edges", lambda: store.save(scaled(next(factors)), **place), times=3)
    with pytest.raises(AttrGraphError, match=f"graph '{graph_id}' is being written or deleted"):
        store.query("top_edges", graph_id=graph_id)


def test_a_reader_waits_while_graphs_go_one_after_the_other(store, run_id, graph, during_a_read):
    """As under retention, more often than three attempts."""
    for epoch in range(7):
        store.save(graph, run_id=run_id, stage=1, epoch=epoch, edge_mass=1.0)
    epochs = iter(range(6))

    def prune_one():
        rules = RetentionRules(last=6 - next(epochs))
        assert store.prune(store.plan_retention(rules, [run_id])).graph_count == 1

    during_a_read("influence_through_time", prune_one, times=6)
    table = store.query("influence_through_time", run_id=run_id, layer="fc1", index=0)
    assert table["epoch"].tolist() == [6]


def test_a_neuron_set_of_a_run_that_is_being_deleted_is_refused(store, run_id, graph):
    """Half of what it selects is gone, and no graph of it has changed since."""
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=1.0).graph_id
    table = store.query("neuron_influence", graph_id=graph_id)
    circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
    chosen = NeuronSet({"fc1": (0, 1)}, "top_influence", 0.5)
    neuron_set_id = store.save_neuron_set([circuit_id], chosen, run_id=run_id)
    store.save_training(run_id, 2, neuron_set_id)
    assert len(store.query("neuron_set", neuron_set_id=neuron_set_id)) == 2

    store._database.write("hide_run", run_id=run_id, writer="deleter")
    store._database.write("delete_selections", run_id=run_id, batch_size=1)
    asked = {"neuron_set": {"neuron_set_id": neuron_set_id}, "neuron_set_membership": {"run_id": run_id}}
    for name, parameters in asked.items():
        with pytest.raises(AttrGraphError, match=f"run '{run_id}' is being deleted"):
            store.query(name, **parameters)


def test_a_graph_of_the_run_replaced_meanwhile_is_asked_again_and_a_new_one_is_no_harm(
    store, run_id, graph, scaled, during_a_read
):
    for epoch in (0, 1):
        store.save(graph, run_id=run_id, stage=1, epoch=epoch, edge_mass=1.0)
    asked = {"run_id": run_id, "layer": "fc1", "index": 0}
    before = store.query("influence_through_time", **asked)
    during_a_read(
        "influence_through_time", lambda: store.save(scaled(3.0), run_id=run_id, stage=1, epoch=1, edge_mass=1.0)
    )
    after = store.query("influence_through_time", **asked)
    assert after["attribution"].tolist() == [before["attribution"][0], 3 * before["attribution"][1]]
    during_a_read("influence_through_time", lambda: store.save(graph, run_id=run_id, stage=1, epoch=2), times=3)
    assert len(store.query("influence_through_time", **asked)) == 2


def test_an_error_of_the_question_itself_is_told(store, run_id, graph, during_a_read):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0).graph_id

    def fail():
        raise AttrGraphError("no rows")

    during_a_read("top_edges", fail)
    with pytest.raises(AttrGraphError, match="no rows"):
        store.query("top_edges", graph_id=graph_id)


def test_every_query_is_read_with_what_it_reaches():
    ids = {
        "graph_id": "a/stage_1/epoch_0/m/t", "other_graph_id": "b/stage_1/epoch_0/m/t", "run_id": "a",
        "other_run_id": "b", "stage_id": "a/stage_1", "circuit_id": "a/stage_1/epoch_0/m/t/q/0", "experiment": "e",
    }  # fmt: skip
    reach = {
        name: reach_of(query, {known: ids[known] for known in query.params if known in ids})
        for name, query in ((name, load_query(name)) for name in query_names())
    }
    assert reach["top_edges"] == Reach((ids["graph_id"],))
    assert reach["run_against_run"] == Reach((ids["graph_id"], ids["other_graph_id"]))
    assert reach["edge_births_and_deaths"] == Reach((ids["graph_id"],), ("a",))
    assert reach["influence_drift"] == reach["circuit_through_time"] == Reach((), ("a",))
    assert reach["circuit_in_other_seeds"] == Reach((), ("a",), True)
    assert reach["seed_agreement"] == Reach((), (), True)
    assert reach_of(load_query("stored_circuits"), {"run_id": None}) == Reach((), (), True)
    assert reach_of(load_query("epoch_graphs"), {"run_id": None}) == Reach()
