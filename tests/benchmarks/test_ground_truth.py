"""Circuits known by construction: what finds them, what does not, and that evidence for a whole circuit tells.

A short form of `python benchmarks/ground_truth.py`, without the network that is trained; queries on two of the others.
"""

import pytest

from attrgraph_core.attribution.ablation import ablate_edges
from attrgraph_core.circuits.circuit import Circuit
from attrgraph_core.evidence.circuit_ablation import CircuitAblation
from attrgraph_core.evidence.faithfulness import score_circuit
from attrgraph_core.store.graph_store import GraphStore
from benchmarks.ground_truth import area, by_ablation, by_weight, graph_of, query_areas
from tests.known_circuits import KNOWN_CIRCUITS, and_gate, or_gate

BUILT = [name for name in KNOWN_CIRCUITS if name != "parity"]
X0, X1 = ("input", 0, "hidden", 0), ("input", 1, "hidden", 0)


@pytest.mark.parametrize("name", [name for name in BUILT if name != "planted"])
def test_the_circuit_alone_does_what_the_network_does(name):
    """Nothing but the circuit has any effect, together; the planted network's rest has a small one."""
    known = KNOWN_CIRCUITS[name]()
    ablation = CircuitAblation(known.network, known.inputs, 0, kind="zero")
    circuit = Circuit((), tuple(sorted(known.edges)))
    assert ablation.only(circuit).tolist() == pytest.approx(ablation.whole.tolist(), abs=1e-12)


def test_inputs_of_an_or_gate_do_nothing_alone_and_all_together():
    known = or_gate()
    alone = ablate_edges(known.network, known.inputs, 0, [X0, X1])["effect"].tolist()
    together = ablate_edges(known.network, known.inputs, 0, [X0, X1], together=True)["effect"].tolist()
    assert (alone, together) == ([0.0, 0.0], [1.0, 1.0])
    # Zero in the place of the gate's own output is what it is when it is on: the mean of all inputs tells them apart.
    ablation = CircuitAblation(known.network, known.inputs, 0, kind="mean", reference=and_gate().inputs)
    scores = score_circuit(ablation, Circuit((), (X0, X1, ("hidden", 0, "output", 0))))
    assert (scores.faithfulness, scores.completeness) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize(
    ("method", "areas"),
    [
        ("deeplift", {"or": 0.93, "backup": 1.0, "planted": 1.0, "cancelling": 0.58}),
        ("gradient_times_activation", {"or": 0.38, "backup": 0.4, "planted": 1.0, "cancelling": 0.58}),
        # Not the backup: a unit at 0 hands on its relevance by the sign of a rounding error, .4 or .5 by processor.
        ("lrp_epsilon", {"or": 0.5, "planted": 1.0, "cancelling": 0.6}),
        ("conductance", {"or": 0.93, "backup": 1.0, "planted": 1.0, "cancelling": 0.58}),
    ],
)
def test_what_finds_saturated_edges_and_what_does_not(method, areas):
    """At a saturated unit there is no derivative; nothing tells edges that cancel from edges that work."""
    found = {name: area(known, by_weight(graph_of(known, method))) for name, known in made(areas)}
    assert {name: round(value, 2) for name, value in found.items()} == areas


def test_deleting_one_edge_finds_no_circuit_with_a_backup():
    found = {name: round(area(known, by_ablation(known)), 2) for name, known in made(["xor", "or", "backup"])}
    assert found == {"xor": 0.94, "or": 0.38, "backup": 0.4}


@pytest.mark.neo4j
def test_queries_on_an_and_gate_and_on_a_backup(neo4j_connection):
    """Of edges, of paths, of neurons; asked of Neo4j. What needs Graph Data Science agrees with what does not."""
    expected = {
        "top_edges, by weight": [0.81, 1.0], "top_edges, by share": [0.9, 0.99], "pruned_edges": [0.81, 1.0],
        "greedy_edges": [0.81, 1.0], "strongest_paths": [0.8, 1.0],
        "widest_paths": [0.8, 1.0], "path_mass": [0.8, 1.0], "neuron_flow": [0.77, 1.0], "betweenness": [0.38, 1.0],
        "k_core": [0.87, 0.7], "communities": [0.43, 0.6],
    }  # fmt: skip
    with GraphStore.open(neo4j_connection) as store:
        found = [query_areas(store, known, [*expected, "minimum_cut"]) for _, known in made(["and", "backup"])]
    assert {name: [round(areas[name], 2) for areas in found] for name in expected} == expected
    # Which edges make the backup's least cut, rounding decides, by processor.
    first, second = (round(areas["minimum_cut"], 2) for areas in found)
    assert (first, second) in [(0.63, 0.6), (0.63, 0.7)]


def made(names):
    return [(name, KNOWN_CIRCUITS[name]()) for name in names]
