"""Evidence worked by hand: y = 3 relu(x0) + relu(x1), all inputs 1, what is ablated is 0. Whole 4, nothing 0."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.circuits.circuit import Circuit, circuit_of
from attrgraph_core.evidence.agreement import edge_agreement
from attrgraph_core.evidence.circuit_ablation import CircuitAblation
from attrgraph_core.evidence.evidence import graph_evidence, ranked_edges
from attrgraph_core.evidence.faithfulness import minimality, random_faithfulness, score_circuit
from attrgraph_core.evidence.size_curve import size_curve
from attrgraph_core.evidence.stability import sample_stability

FIRST = (("input", 0, "0", 0), ("0", 0, "2", 0))  # the path by x0
USELESS = ("input", 1, "0", 0)  # of weight 0


@pytest.fixture
def network() -> nn.Module:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)).double()
    network[0].weight.data = torch.eye(2).double()
    network[2].weight.data = torch.tensor([[3.0, 1.0]]).double()
    return network


@pytest.fixture
def ablation(network) -> CircuitAblation:
    return CircuitAblation(network, torch.ones(4, 2).double(), 0, kind="zero")


def test_a_path_makes_its_part_of_the_score(ablation):
    scores = score_circuit(ablation, Circuit((), FIRST))
    assert (scores.faithfulness, scores.completeness) == (0.75, 0.75)
    assert scores.interval() == (0.75, 0.75)  # every sample is the same


def test_neurons_leave_out_the_others_of_their_own_layers_only(ablation):
    scores = score_circuit(ablation, Circuit((("0", 1),), None))
    assert (scores.faithfulness, scores.completeness) == (0.25, 0.25)
    assert ablation.share_of_network(Circuit((("0", 1), ("2", 0)), None)) == 0.5
    assert ablation.share_of_network(Circuit((), FIRST)) == 2 / 6


def test_what_a_circuit_does_not_need_is_counted(ablation):
    circuit = Circuit((), (*FIRST, USELESS))
    assert minimality(ablation, circuit, score_circuit(ablation, circuit), most=10) == 2 / 3
    neurons = Circuit((("0", 0), ("2", 0)), None)
    assert minimality(ablation, neurons, score_circuit(ablation, neurons), most=10) == 1.0


def test_random_circuits_have_as_many_edges_between_the_same_layers(ablation):
    """Of 4 first edges and 2 second ones a path is whole in 1 of 8 draws for x0 (.75), and in 1 of 8 for x1 (.25)."""
    circuit = Circuit((), FIRST)
    drawn = random_faithfulness(ablation, circuit, score_circuit(ablation, circuit), draws=400)
    assert set(drawn) == {0.0, 0.25, 0.75}
    assert np.mean(drawn) == pytest.approx(1 / 8, abs=0.04)


def test_areas_over_the_size_by_trapezoids(network, ablation):
    """One edge up to a fifth of six (0), three at a half (.75), all (1)."""
    graph = attribute(network, ablation.inputs, 0, method="gradient_times_activation")
    curve = size_curve(ablation, ranked_edges(graph))
    assert curve.faithfulness == (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.75, 1.0)
    assert curve.cpr == pytest.approx(0.3 * 0.75 / 2 + 0.5 * (0.75 + 1) / 2)
    assert curve.cmd == pytest.approx(0.199 + 0.3 * (1 + 0.25) / 2 + 0.5 * 0.25 / 2)


def test_weights_of_a_linear_network_are_what_deletion_does(network):
    inputs = torch.rand(8, 2, generator=torch.Generator().manual_seed(0)).double()
    graph = attribute(network, inputs, 0, method="gradient_times_activation")
    ablation = CircuitAblation(network, inputs, 0, kind="zero")
    assert edge_agreement(ablation, graph.edges) == pytest.approx((1.0, 1.0))
    opposite = graph.edges.assign(weight=-graph.edges["weight"])
    assert edge_agreement(ablation, opposite) == pytest.approx((-1.0, -1.0))
    assert edge_agreement(ablation, graph.edges.assign(weight=1.0)) == (0.0, 0.0)


def test_a_circuit_that_hangs_on_the_samples_is_not_stable(network):
    """Samples of one input at a time: the strongest path is that of whichever input is drawn more often, times 3."""
    inputs = torch.tensor([[1.0, 0.0], [0.0, 3.0]]).double()

    def graph_of(rows):
        return attribute(network, inputs[rows], 0, method="gradient_times_activation")

    assert sample_stability(graph_of, 2, Circuit((), (*FIRST, USELESS, USELESS)), draws=20) < 1.0
    assert sample_stability(lambda rows: graph_of([0, 1]), 2, Circuit((), FIRST), draws=3) == 1.0


def test_all_of_it_as_properties_of_a_circuit(network):
    inputs = torch.rand(16, 2, generator=torch.Generator().manual_seed(0)).double()
    graph = attribute(network, inputs, 0, method="gradient_times_activation")
    evidence = graph_evidence(network, graph, inputs, 0, kind="zero").of(Circuit((), FIRST))
    found = evidence.properties()
    assert {name: found[name] for name in ("ablation", "sample_count", "part_count", "size", "minimality")} == {
        "ablation": "zero", "sample_count": 16, "part_count": 2, "size": 2 / 6, "minimality": 1.0,
    }  # fmt: skip
    share = (3 * inputs[:, 0]).mean() / (3 * inputs[:, 0] + inputs[:, 1]).mean()
    assert found["faithfulness"] == pytest.approx(share.item())
    assert found["faithfulness_low"] < found["faithfulness"] < found["faithfulness_high"]
    curve = found.pop("curve")
    assert all(isinstance(value, str | int | float) for value in found.values())
    # Up to a fifth of six edges is one edge, which alone makes nothing; half of them hold the path by x0.
    assert curve == pytest.approx([0.0] * 8 + [share.item(), 1.0])


def test_a_score_that_nothing_changes_has_no_circuit(network):
    with pytest.raises(AttrGraphError, match="scores the same with everything mean-ablated"):
        score_circuit(CircuitAblation(network, torch.ones(4, 2).double(), 0), Circuit((), FIRST))


def test_a_circuit_from_each_form_of_table():
    neurons = pd.DataFrame({"layer": ["a", "a"], "index": [1, 2], "influence": [1.0, 2.0]})
    assert circuit_of(neurons) == Circuit((("a", 1), ("a", 2)), None)
    paths = pd.DataFrame({"rank": [1, 2], "neurons": [["x/0", "a.b/1", "y/0"], ["x/1", "a.b/1", "y/0"]]})
    assert circuit_of(paths).edges == (("x", 0, "a.b", 1), ("a.b", 1, "y", 0), ("x", 1, "a.b", 1))
    edges = pd.DataFrame(
        [("x", 0, "y", 1), ("x", 0, "y", 1)],
        columns=["source_layer", "source_index", "target_layer", "target_index"],
    )
    assert circuit_of(edges) == Circuit((("x", 0), ("y", 1)), (("x", 0, "y", 1),))
