import itertools
import threading

import neo4j
import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store import provenance
from attrgraph_core.store.provenance import neurons_of, table_hash
from attrgraph_core.store.queries import load_query
from attrgraph_core.targeting.neuron_set import NeuronSet


def test_rows_name_neurons_by_layer_and_index():
    table = pd.DataFrame({"layer": ["fc1", "fc1", "fc1"], "index": [3, 1, 3], "influence": [1.0, 2.0, 3.0]})
    assert neurons_of(table) == [("fc1", 3), ("fc1", 1)]


def test_rows_name_neurons_by_paths_and_a_layers_name_may_have_any_sign():
    table = pd.DataFrame({"neurons": [["input/0", "a/b.0/7"], ["input/1", "a/b.0/7"]]})
    assert neurons_of(table) == [("input", 0), ("a/b.0", 7), ("input", 1)]


def test_rows_name_neurons_as_the_ends_of_edges():
    table = pd.DataFrame({
        "source_layer": ["input", "fc1"], "source_index": [0, 2], "target_layer": ["fc1", "fc2"], "target_index": [2, 1]
    })  # fmt: skip
    assert neurons_of(table) == [("input", 0), ("fc1", 2), ("fc2", 1)]


def test_a_table_without_neurons_is_refused():
    with pytest.raises(AttrGraphError, match=r"columns layer and index, or a column neurons .*it has loss"):
        neurons_of(pd.DataFrame({"loss": [1.0]}))


def test_the_hash_of_a_table_is_of_its_names_values_and_their_order():
    table = pd.DataFrame({"layer": ["a", "b"], "index": [0, 1]})
    others = [table.iloc[::-1], table.rename(columns={"index": "place"}), table.assign(index=[0, 2])]
    assert len({table_hash(each) for each in [table, *others]}) == 4
    assert table_hash(table.copy()) == table_hash(table)


@pytest.fixture
def chosen():
    return NeuronSet({"fc1": (1,)}, "top_influence", 0.5)


@pytest.mark.neo4j
def test_a_stage_tells_which_query_chose_its_neurons(store, run_id, graph, chosen):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=1.0).graph_id
    table = store.query("neuron_influence", graph_id=graph_id)
    circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
    neuron_set_id = store.save_neuron_set([circuit_id], chosen, run_id=run_id)
    stage_id = store.save_stage(run_id, 2, "targeted", epochs=4)
    store.save_training(run_id, 2, neuron_set_id)
    found = store.query("choosing_query", stage_id=stage_id)
    assert found.to_dict("records") == [
        {
            "query": "neuron_influence", "parameters": f'{{"graph_id": "{graph_id}"}}', "policy": "top_influence",
            "budget": 0.5, "size": 1, "graph_id": graph_id, "circuit_id": circuit_id, "neuron_set_id": neuron_set_id,
            "query_hash": load_query("neuron_influence").hash, "result_hash": table_hash(table),
            "set_hash": chosen.set_hash,
        }
    ]  # fmt: skip
    assert circuit_id.startswith(f"{graph_id}/neuron_influence/")


@pytest.mark.neo4j
def test_saving_circuit_set_and_training_twice_changes_nothing(store, run_id, graph, chosen, contents):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0).graph_id
    table = store.query("top_influential_neurons", graph_id=graph_id, top_k=3)

    def save_all():
        circuit_id = store.save_circuit(graph_id, "top_influential_neurons", {"top_k": 3}, table)
        neuron_set_id = store.save_neuron_set([circuit_id], chosen, run_id=run_id)
        store.save_training(run_id, 2, neuron_set_id)
        return circuit_id, neuron_set_id

    def around():
        return store.run_cypher(
            "MATCH (circuit:Circuit {circuit_id: $id})-[edge]->(node) RETURN type(edge) AS type, count(*) AS count "
            "ORDER BY type",
            {"id": ids[0]},
        ).to_numpy().tolist()  # fmt: skip

    ids = save_all()
    before, before_around = contents(), around()
    assert before_around == [["CONTAINS", 3], ["FOUND_IN", 1], ["YIELDS", 1]]
    assert save_all() == ids
    assert (contents(), around()) == (before, before_around)


@pytest.mark.neo4j
def test_a_circuit_of_paths_contains_the_neurons_on_them(store, run_id, graph):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=1.0).graph_id
    table = store.query("strongest_paths", graph_id=graph_id, top_k=1)
    circuit_id = store.save_circuit(graph_id, "strongest_paths", {"top_k": 1}, table)
    members = store.run_cypher(
        "MATCH (:Circuit {circuit_id: $id})-[:CONTAINS]->(s) RETURN s.layer AS layer, s.index AS index ORDER BY layer",
        {"id": circuit_id},
    )
    assert members.to_numpy().tolist() == [["fc1", 0], ["fc2", 0], ["input", 0]]


@pytest.mark.neo4j
def test_other_parameters_are_another_circuit_and_another_choice(store, run_id, graph, chosen):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0).graph_id
    table = store.query("top_influential_neurons", graph_id=graph_id)
    circuits = [store.save_circuit(graph_id, "top_influential_neurons", {"top_k": k}, table) for k in (20, 21)]
    assert circuits[0] != circuits[1]
    sets = [store.save_neuron_set([circuit], chosen, run_id=run_id) for circuit in circuits]
    assert sets[0] != sets[1]
    for neuron_set_id in sets:
        store.save_training(run_id, 2, neuron_set_id)
    found = store.query("choosing_query", stage_id=f"{run_id}/stage_2")
    assert found["circuit_id"].tolist() == [circuits[1]]


@pytest.mark.neo4j
def test_a_circuit_of_a_replaced_graph_is_stale_until_it_is_found_again(store, run_id, scaled):
    saved = store.save(scaled(1.0), run_id=run_id, stage=1, epoch=0)
    table = store.query("neuron_influence", graph_id=saved.graph_id)
    circuit_id = store.save_circuit(saved.graph_id, "neuron_influence", {}, table)

    def state():
        text = (
            "MATCH (c:Circuit {circuit_id: $id}) RETURN c.is_stale AS is_stale, COUNT { (c)-[:CONTAINS]->() } AS size"
        )
        return store.run_cypher(text, {"id": circuit_id}).to_numpy().tolist()

    assert state() == [[False, 2]]
    store.save(scaled(2.0), run_id=run_id, stage=1, epoch=0)
    assert state() == [[True, 0]]
    store.save_circuit(saved.graph_id, "neuron_influence", {}, table)
    assert state() == [[False, 2]]


@pytest.mark.neo4j
def test_what_is_not_stored_is_named(store, run_id, graph, chosen):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0).graph_id
    table = pd.DataFrame({"layer": ["fc1", "fc9"], "index": [0, 0]})
    with pytest.raises(AttrGraphError, match="1 of 2 neurons, fc9/0 first, are not in graph"):
        store.save_circuit(graph_id, "neuron_influence", {}, table)
    with pytest.raises(AttrGraphError, match="no complete graph 'nowhere' to keep a circuit of"):
        store.save_circuit("nowhere", "neuron_influence", {}, table)
    with pytest.raises(AttrGraphError, match="no circuit 'nothing' to choose neurons from"):
        store.save_neuron_set(["nothing"], chosen, run_id=run_id)
    with pytest.raises(AttrGraphError, match=r"1 of 1 neurons, fc1/9 first, are not in run"):
        store.save_neuron_set([], NeuronSet({"fc1": (9,)}, "random", 0.5), run_id=run_id)
    with pytest.raises(AttrGraphError, match="no neuron set 'nothing'"):
        store.save_training(run_id, 2, "nothing")
    with pytest.raises(AttrGraphError, match="no run 'nobody'"):
        store.finish_run("nobody", "complete")


@pytest.mark.neo4j
def test_a_run_has_an_experiment_a_configuration_and_an_end(store, run_id):
    store.save_run(run_id, f"of-{run_id}", seed=3, config_hash="abc", code_version="1.0")
    store.save_run(run_id, f"of-{run_id}", seed=3, config_hash="abc", code_version="1.1")
    store.finish_run(run_id, "complete")
    table = store.run_cypher(
        "MATCH (e:Experiment)-[:HAS_RUN]->(run:Run {run_id: $run_id}) RETURN e.name AS name, run", {"run_id": run_id}
    )
    assert table["name"].tolist() == [f"of-{run_id}"]
    run = table["run"][0]
    assert run["started_at"] <= run["finished_at"]
    assert {k: v for k, v in run.items() if not k.endswith("_at")} == {
        "labels": ["Run"], "run_id": run_id, "seed": 3, "config_hash": "abc", "code_version": "1.1",
        "status": "complete",
    }  # fmt: skip


@pytest.mark.neo4j
def test_a_later_stage_of_a_run_that_is_gone_makes_no_run(store, run_id):
    """It was deleted while the stage was trained."""
    for work in (
        lambda: store.save_run(run_id, "gone", seed=0, config_hash="c", code_version="v", makes_run=False),
        lambda: store.save_stage(run_id, 2, "targeted"),
        lambda: store.save_training(run_id, 2, "set"),
    ):
        with pytest.raises(AttrGraphError, match=f"run '{run_id}' was deleted, or is being deleted"):
            work()
    left = "MATCH (node) WHERE node.run_id = $id OR node.stage_id STARTS WITH $id OR node.name = 'gone' RETURN node"
    assert store.run_cypher(left, {"id": run_id}).empty


class Killed(Exception):
    """Stands for the end of the process: nothing of ours catches it."""


def stopped_anywhere(save):
    """Yields each time after `save` was stopped before its n-th statement, and once more when it went through."""
    whole = neo4j.ManagedTransaction.run
    for count in itertools.count():
        numbers = itertools.count()

        def run(self, *arguments, numbers=numbers, count=count, **more):
            if next(numbers) >= count:
                raise Killed
            return whole(self, *arguments, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(neo4j.ManagedTransaction, "run", run)
            try:
                save()
            except Killed:
                is_done = False
            else:
                is_done = True
        yield is_done
        if is_done:
            return


@pytest.fixture(params=[100_000, 0], ids=["together", "apart"])
def together(request, monkeypatch):
    monkeypatch.setattr(provenance, "MEMBER_BATCH", 1)
    monkeypatch.setattr(provenance, "TOGETHER", request.param)
    return request.param > 0


@pytest.mark.neo4j
def test_a_circuit_is_there_with_all_its_members_or_not(store, run_id, graph, together):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0).graph_id
    table = store.query("neuron_influence", graph_id=graph_id)

    def shown():
        found = store.query("stored_circuits", run_id=run_id)
        return found[["neuron_count", "is_stale"]].to_numpy().tolist()

    for is_done in stopped_anywhere(lambda: store.save_circuit(graph_id, "neuron_influence", {}, table)):
        whole = [[2, False]]
        if together:
            assert shown() == (whole if is_done else [])
        else:
            assert shown() == whole if is_done else all(is_stale for _, is_stale in shown())


@pytest.mark.neo4j
@pytest.mark.parametrize("together", [100_000], indirect=True)
def test_a_circuit_that_is_saved_again_keeps_all_or_gives_all(store, run_id, graph, together):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0).graph_id
    table = store.query("neuron_influence", graph_id=graph_id)
    circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
    store.save_evidence(circuit_id, {"faithfulness": 0.5})
    text = (
        "MATCH (c:Circuit {circuit_id: $id}) RETURN c.faithfulness AS faithfulness, c.is_stale AS is_stale, "
        "COUNT { (c)-[:CONTAINS]->() } AS size"
    )
    for is_done in stopped_anywhere(lambda: store.save_circuit(graph_id, "neuron_influence", {}, table)):
        found = store.run_cypher(text, {"id": circuit_id}).to_dict("records")
        assert found == [{"faithfulness": None if is_done else 0.5, "is_stale": False, "size": 2}]


@pytest.mark.neo4j
def test_a_circuit_of_a_graph_replaced_meanwhile_is_not_taken_for_fresh(store, run_id, scaled, together):
    """The other writer begins before the members are written, or is made to wait until they are."""
    place = {"run_id": run_id, "stage": 1, "epoch": 0}
    graph_id = store.save(scaled(1.0), **place).graph_id
    table = store.query("neuron_influence", graph_id=graph_id)
    whole = neo4j.ManagedTransaction.run
    writer = threading.Thread(target=lambda: store.save(scaled(2.0), **place))
    begins = threading.Event()

    def run(self, text, *arguments, **more):
        if "MERGE (graph:AttributionGraph" in text:
            begins.set()
        if "MERGE (circuit)-[:CONTAINS]" in text and writer.ident is None:
            writer.start()
            assert begins.wait(60.0)
            writer.join(1.0 if together else 60.0)
            assert writer.is_alive() is together
        return whole(self, text, *arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neo4j.ManagedTransaction, "run", run)
        circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
    writer.join(60.0)
    text = "MATCH (c:Circuit {circuit_id: $id}) RETURN c.is_stale AS is_stale, COUNT { (c)-[:CONTAINS]->() } AS size"
    # Together it was first, and went with the graph it is of; apart its members are those of the graph that is there.
    assert store.run_cypher(text, {"id": circuit_id}).to_numpy().tolist() == [[together, 0 if together else 2]]


@pytest.mark.neo4j
def test_a_neuron_set_is_there_with_all_its_neurons_or_not(store, run_id, graph, together):
    graph_id = store.save(graph, run_id=run_id, stage=1, epoch=0).graph_id
    table = store.query("neuron_influence", graph_id=graph_id)
    circuit_id = store.save_circuit(graph_id, "neuron_influence", {}, table)
    chosen = NeuronSet({"fc1": (0, 1)}, "top_influence", 0.5)
    text = (
        "MATCH (:Circuit {circuit_id: $id})-[:YIELDS]->(set) "
        "RETURN set.size AS size, COUNT { (set)-[:SELECTS]->() } AS found"
    )
    for is_done in stopped_anywhere(lambda: store.save_neuron_set([circuit_id], chosen, run_id=run_id)):
        assert store.run_cypher(text, {"id": circuit_id}).to_numpy().tolist() == ([[2, 2]] if is_done else [])


@pytest.mark.neo4j
def test_a_neuron_deleted_while_a_set_is_written_is_told(store, run_id, graph, monkeypatch):
    store.save(graph, run_id=run_id, stage=1, epoch=0)
    monkeypatch.setattr(provenance, "_refuse_missing", lambda *_: None)  # as if it was there when that looked
    with pytest.raises(AttrGraphError, match=r"a neuron or a circuit of neuron set .* was deleted meanwhile"):
        store.save_neuron_set([], NeuronSet({"fc1": (0, 9)}, "random", 0.5), run_id=run_id)
    assert len(store.run_cypher("MATCH (set:NeuronSet {run_id: $id}) RETURN set", {"id": run_id})) == 0


@pytest.mark.neo4j
@pytest.mark.parametrize("together", [100_000], indirect=True)
def test_matches_of_before_stay_until_the_new_ones_are_there(store, run_id, graph, together):
    other = f"{run_id}-other"
    for name in (run_id, other):
        store.save(graph, run_id=name, stage=1, epoch=0)
    matches = pd.DataFrame({"layer": ["fc1", "fc1"], "index": [0, 1], "other_index": [0, 1], "correlation": [0.5, 0.5]})
    try:
        store.save_matches(run_id, other, matches)
        new = matches.assign(other_index=[1, 0], correlation=0.75)
        for is_done in stopped_anywhere(lambda: store.save_matches(run_id, other, new)):
            found = store.query("matched_neurons", run_id=run_id, other_run_id=other)
            assert found["correlation"].tolist() == [0.75 if is_done else 0.5] * 2
    finally:
        store.delete_run(other)
