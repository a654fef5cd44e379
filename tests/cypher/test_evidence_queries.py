"""Circuits by their evidence, and circuits of other seeds: rows worked by hand (see conftest)."""

import pytest

from attrgraph_core.errors import AttrGraphError
from tests.cypher.conftest import EVIDENCE, HISTORY, OTHER

pytestmark = pytest.mark.neo4j


def rows(table):
    return list(table.itertuples(index=False, name=None))


def test_faithful_circuits_are_small_and_of_a_target(store, history):
    middle = f"{HISTORY}/stage_1/epoch_1/deeplift/label"
    expected = (
        history["found"], "top_influential_neurons", "label", 0.04, 3, 0.9, 0.85, 0.1, 0.6, "mean", middle,
    )  # fmt: skip
    assert rows(store.query("faithful_circuits", run_id=HISTORY)) == [expected]
    assert rows(store.query("faithful_circuits", run_id=HISTORY, target="class:3")) == []
    assert rows(store.query("faithful_circuits", run_id=HISTORY, max_size=0.03)) == []
    assert rows(store.query("faithful_circuits", run_id=HISTORY, min_faithfulness=0.95)) == []
    assert rows(store.query("faithful_circuits", run_id=HISTORY, max_faithfulness=0.89)) == []
    found = store.query("faithful_circuits", min_faithfulness=0.7)  # the smaller one first
    of_both = found[found["circuit_id"].isin([history["found"], history["found_in_other"]])]
    assert of_both["size"].tolist() == [0.02, 0.04]


def test_evidence_of_a_run_has_all_that_was_measured(store, history):
    found = store.query("circuit_evidence", run_id=HISTORY)
    assert found["circuit_id"].tolist() == [history["found"]]
    kept = {name: value for name, value in EVIDENCE.items() if name in found}
    assert found.iloc[0][list(kept)].to_dict() == kept
    assert set(EVIDENCE) - set(kept) == {"sample_count", "part_count", "random_draws"}


def test_a_circuit_in_another_seed_by_matched_neurons(store, history):
    """fc1/0 of the one is fc1/1 of the other, which has it; the other has fc1/2, too, which the one has not."""
    expected = (OTHER, history["found_in_other"], 1, 1 / 2)
    assert rows(store.query("circuit_in_other_seeds", circuit_id=history["found"])) == [expected]
    backwards = (HISTORY, history["found"], 1, 1 / 2)
    assert rows(store.query("circuit_in_other_seeds", circuit_id=history["found_in_other"])) == [backwards]
    assert rows(store.query("circuit_in_other_seeds", circuit_id=history["chosen"])) == []


def test_a_circuit_saved_anew_loses_its_evidence(store, history):
    graph_id = f"{HISTORY}/stage_1/epoch_1/deeplift/label"
    table = store.query("neuron_influence", graph_id=graph_id)
    circuit_id = store.save_circuit(graph_id, "neuron_influence", {"layer": "fc1"}, table)
    store.save_evidence(circuit_id, EVIDENCE)
    assert circuit_id in store.query("circuit_evidence", run_id=HISTORY)["circuit_id"].tolist()
    store.save_circuit(graph_id, "neuron_influence", {"layer": "fc1"}, table)
    assert circuit_id not in store.query("circuit_evidence", run_id=HISTORY)["circuit_id"].tolist()
    # Other tests count the circuits of this run.
    store.run_cypher("MATCH (c:Circuit {circuit_id: $id}) DETACH DELETE c", {"id": circuit_id}, read_only=False)


def test_evidence_that_cannot_be_kept_is_refused(store, history):
    with pytest.raises(AttrGraphError, match="no circuit 'nowhere' to keep evidence for"):
        store.save_evidence("nowhere", EVIDENCE)
    with pytest.raises(AttrGraphError, match="evidence cannot be called 'query'"):
        store.save_evidence(history["found"], {"query": "x"})
    with pytest.raises(AttrGraphError, match=r"cpr of circuit .* is nan"):
        store.save_evidence(history["found"], {"cpr": float("nan")})
