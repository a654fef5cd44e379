import itertools
import signal
import subprocess
import sys

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.sparsify import sparsify
from attrgraph_core.store import batches, graph_lanes, graph_writer
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.queries import load_query
from attrgraph_core.targeting.neuron_set import NeuronSet

pytestmark = pytest.mark.neo4j


class Killed(Exception):
    """Stands for the end of the process: nothing of ours catches it."""


@pytest.fixture
def small_batches(monkeypatch):
    """Two edges, one state."""
    monkeypatch.setattr(batches, "BATCH_BYTES", 56)
    monkeypatch.setattr(graph_writer, "DELETE_BATCH", 2)


def stop_after(monkeypatch, count):
    """Let `count` writes through, then raise before every other one; each lane counts for itself in one step."""
    whole = Database.write
    numbers = itertools.count()

    def write(self, name, **parameters):
        if next(numbers) >= count:
            raise Killed
        return whole(self, name, **parameters)

    monkeypatch.setattr(Database, "write", write)


@pytest.mark.usefixtures("small_batches")
def test_a_writer_stopped_anywhere_is_never_seen_and_a_retry_completes(store, run_id, graph, scaled, contents):
    place = {"run_id": run_id, "stage": 1, "epoch": 0, "edge_mass": 1.0}
    store.save(graph, **place)
    expected = sorted(str(labels_and_properties[:2]) for labels_and_properties in contents().values())
    count = 0
    while True:
        store.save(scaled(3.0), **place)
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, count)
            try:
                store.save(graph, **place)
            except Killed:
                shown = store.graphs(run_id)
            else:
                break
        if len(shown):  # stopped before the graph was touched: the old one is there, whole
            assert store.graph(shown["graph_id"][0]).edges["weight"].tolist() == [6.0, -3.0, -12.0, 3.0, -6.0]
        store.save(graph, **place)
        assert sorted(str(found[:2]) for found in contents().values()) == expected
        count += 1
    # 1 begins, edges deleted in 3 + 1, members in 1, states in 3 + 1, states written in 5, edges in
    # 2 + 1, 1 completes
    assert count == 19


def test_a_process_killed_between_batches_leaves_nothing_to_see(store, run_id, graph, tmp_path):
    graph.neurons.to_pickle(tmp_path / "neurons.pickle")
    graph.edges.to_pickle(tmp_path / "edges.pickle")
    script = f"""
import os, signal
import pandas as pd
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store import batches
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_store import GraphStore

batches.BATCH_BYTES = 56
whole = Database.write

def write(self, name, **parameters):
    result = whole(self, name, **parameters)
    if name == "write_edges":
        os.kill(os.getpid(), signal.SIGKILL)
    return result

Database.write = write
neurons, edges = (pd.read_pickle({str(tmp_path)!r} + f"/{{name}}.pickle") for name in ("neurons", "edges"))
graph = AttributionGraph(neurons, edges, "deeplift", "label", "zeros", 8, 0.25)
connection = Connection({store.connection.uri!r}, {store.connection.user!r}, {store.connection.password!r}, "test")
with GraphStore.open(connection) as store:
    store.save(graph, run_id={run_id!r}, stage=1, epoch=0, edge_mass=1.0)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    graph_id = f"{run_id}/stage_1/epoch_0/deeplift/label"
    assert len(store.graphs(run_id)) == 0
    with pytest.raises(AttrGraphError, match="no complete graph"):
        store.query("top_influential_neurons", graph_id=graph_id)
    half = store.run_cypher("MATCH (s:NeuronState {graph_id: $id})-[e]->(:NeuronState) RETURN e", {"id": graph_id})
    assert 0 < len(half) < 5  # a batch, and that of the other lane where it came that far
    store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=1.0)
    assert len(store.graph(graph_id).edges) == 5


@pytest.mark.usefixtures("small_batches")
def test_a_writer_that_was_overtaken_gives_up(store, run_id, graph, scaled, monkeypatch):
    """The other one begins after this one's first batch of edges, and completes."""
    whole = graph_lanes._write_batch
    place = {"run_id": run_id, "stage": 1, "epoch": 0, "edge_mass": 1.0}

    def overtaken(database, query, *arguments, **columns):
        whole(database, query, *arguments, **columns)
        if query == "write_edges":
            monkeypatch.setattr(graph_lanes, "_write_batch", whole)
            store.save(scaled(3.0), **place)

    monkeypatch.setattr(graph_lanes, "_write_batch", overtaken)
    with pytest.raises(AttrGraphError, match="another process began to write"):
        store.save(graph, **place)
    found = store.graph(f"{run_id}/stage_1/epoch_0/deeplift/label")
    assert found.edges["weight"].tolist() == [6.0, -3.0, -12.0, 3.0, -6.0]


@pytest.mark.parametrize("query", ["delete_edges", "delete_circuit_members", "delete_states"])
def test_a_writer_overtaken_while_it_deletes_leaves_the_other_graph_whole(store, run_id, graph, scaled, query):
    """The other one takes over before a batch of deletion, and completes."""
    whole = Database.write
    place = {"run_id": run_id, "stage": 1, "epoch": 0, "edge_mass": 1.0}
    store.save(scaled(2.0), **place)

    with pytest.MonkeyPatch.context() as patch:

        def overtaken(database, name, **parameters):
            if name == query:
                patch.undo()
                store.save(scaled(3.0), **place)
            return whole(database, name, **parameters)

        patch.setattr(Database, "write", overtaken)
        with pytest.raises(AttrGraphError, match="another process began to write"):
            store.save(graph, **place)
    found = store.graph(f"{run_id}/stage_1/epoch_0/deeplift/label")
    assert found.edges["weight"].tolist() == [6.0, -3.0, -12.0, 3.0, -6.0]


def test_who_was_overtaken_and_a_skipped_pruning_leave_a_graph_of_the_same_version(store, run_id, graph):
    """Readers compare it: they would read again, or give up."""
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=1.0).graph_id
    circuit_id = store.save_circuit(
        graph_id, "neuron_influence", {}, store.query("neuron_influence", graph_id=graph_id)
    )
    store.save_neuron_set([circuit_id], NeuronSet({"fc1": (0,)}, "top_influence", 0.5), run_id=run_id)
    states = {name: [] for name in load_query("ingest/write_states").params} | {"run_id": run_id, "lane": 0}
    edges = {name: [] for name in load_query("ingest/write_edges").params}
    edges |= {"source_layer": "fc1", "target_layer": "fc2", "lane": 0}
    edges |= {name: 0 for name in ("first_source", "last_source", "first_target", "last_target")}
    calls = {
        "prune_graph": {}, "write_states": states, "write_edges": edges, "delete_graph": {},
        "complete_graph": {"node_count": 0, "edge_count": 0, "content_hash": ""}, "delete_edges": {"batch_size": 1},
        "delete_states": {"batch_size": 1}, "delete_circuit_members": {"batch_size": 1},
    }  # fmt: skip
    text = "MATCH (graph:AttributionGraph {graph_id: $id}) RETURN properties(graph) AS found"
    before = store.run_cypher(text, {"id": graph_id})["found"].tolist()
    for name, parameters in calls.items():
        store._database.write(name, **{**parameters, "graph_id": graph_id, "writer": "overtaken"})
        assert store.run_cypher(text, {"id": graph_id})["found"].tolist() == before, name


DELETION = ("hide_run", "delete_states", "delete_graph", "delete_matches", "delete_selections", "delete_neurons")


@pytest.mark.parametrize("step", [*DELETION, "delete_run"])
def test_who_writes_into_a_run_that_is_deleted_is_refused_and_nothing_is_left(store, run_id, graph, scaled, step):
    """A trainer saves its next epoch, a graph again, its circuit and its end, after each step of the deletion."""
    whole = Database.write
    place = {"run_id": run_id, "stage": 1, "edge_mass": 1.0, "makes_run": False}
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=1.0).graph_id
    table = store.query("neuron_influence", graph_id=graph_id)
    told = []

    def write_meanwhile():
        for work in (
            lambda: store.save(graph, epoch=1, **place),
            lambda: store.save(scaled(3.0), epoch=0, **place),
            lambda: store.save_circuit(graph_id, "neuron_influence", {}, table),
            lambda: store.finish_run(run_id, "failed"),
        ):
            with pytest.raises(AttrGraphError) as refused:
                work()
            told.append(str(refused.value))

    with pytest.MonkeyPatch.context() as patch:

        def written_meanwhile(database, name, **parameters):
            found = whole(database, name, **parameters)
            if name == step and not told:
                write_meanwhile()
            return found

        patch.setattr(Database, "write", written_meanwhile)
        assert store.delete_run(run_id) == 1
    assert told[0].startswith(f"run '{run_id}' was deleted, or is being deleted")
    assert left_of(store, run_id) == 0


def test_a_graph_begun_before_its_run_is_deleted_goes_with_it(store, run_id, graph, monkeypatch):
    """Its snapshot was there when the deletion began, its graph was not."""
    whole = Database.write
    store.save(graph, run_id=run_id, stage=1, epoch=0)

    def write(self, name, **parameters):
        if name == "begin_graph":
            monkeypatch.undo()
            store.delete_run(run_id)
        return whole(self, name, **parameters)

    monkeypatch.setattr(Database, "write", write)
    with pytest.raises(AttrGraphError, match=f"run '{run_id}' was deleted, or is being deleted"):
        store.save(graph, run_id=run_id, stage=1, epoch=1)
    assert left_of(store, run_id) == 0


def left_of(store, run_id):
    """How many nodes there are of a run, linked to it or not."""
    text = "MATCH (node) WHERE any(name IN keys(node) WHERE node[name] STARTS WITH $run_id) RETURN node"
    return len(store.run_cypher(text, {"run_id": run_id}))


def test_a_graph_replaced_while_it_is_read_is_read_again(store, run_id, graph, scaled):
    whole = Database.fold
    place = {"run_id": run_id, "stage": 1, "epoch": 0, "edge_mass": 1.0}
    store.save(graph, **place)

    with pytest.MonkeyPatch.context() as patch:

        def replaced_meanwhile(database, query, parameters, work):
            patch.undo()
            store.save(scaled(3.0), **place)
            return whole(database, query, parameters, work)

        patch.setattr(Database, "fold", replaced_meanwhile)
        found = store.graph(f"{run_id}/stage_1/epoch_0/deeplift/label")
    assert found.edges["weight"].tolist() == [6.0, -3.0, -12.0, 3.0, -6.0]
    assert found.neurons["attribution"].tolist() == scaled(3.0).neurons["attribution"].tolist()


def test_what_was_not_all_written_is_not_shown(store, run_id, graph, monkeypatch):
    whole = Database.write

    def write(self, name, **parameters):
        result = whole(self, name, **parameters)
        if name == "write_edges" and parameters["target_layer"] == "fc2":
            whole(self, "delete_edges", graph_id=parameters["graph_id"], writer=parameters["writer"], batch_size=1)
        return result

    monkeypatch.setattr(Database, "write", write)
    with pytest.raises(AttrGraphError, match="has 5 neurons and 4 edges after writing 5 and 5"):
        store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=1.0)
    assert len(store.graphs(run_id)) == 0


def test_the_hash_is_of_all_that_is_stored(graph, scaled):
    hashes = {
        graph_writer.content_hash(sparsify(graph)),
        graph_writer.content_hash(sparsify(graph, edge_mass=0.5)),
        graph_writer.content_hash(sparsify(scaled(2.0))),
    }
    assert len(hashes) == 3
    assert graph_writer.content_hash(sparsify(scaled(1.0))) in hashes


def test_deletion_stopped_anywhere_hides_the_run_and_goes_on(store, run_id, graph, small_batches):
    count = 0
    while True:
        store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=1.0)
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, count)
            try:
                store.delete_run(run_id)
            except Killed:
                assert count == 0 or len(store.graphs(run_id)) == 0
            else:
                return
        if len(store.run_cypher("MATCH (run:Run {run_id: $run_id}) RETURN run", {"run_id": run_id})):
            store.delete_run(run_id)
        count += 1


def test_a_store_closes_its_driver(store):
    with GraphStore.open(store.connection) as other:
        pass
    with pytest.raises(AttrGraphError):
        other.run_cypher("RETURN 1")
