"""Queries for neurons: rows worked out by hand on the graphs of conftest, and a slow twin on random graphs."""

import dataclasses
import itertools
import uuid

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.circuits.betweenness import betweenness
from attrgraph_core.circuits.pagerank import personalised_pagerank, summit_neurons
from attrgraph_core.circuits.redundancy import redundant_neurons
from attrgraph_core.errors import AttrGraphError
from tests.cypher.conftest import HISTORY, RUN
from tests.random_graphs import dense, make_random_graph, names

pytestmark = [pytest.mark.neo4j, pytest.mark.usefixtures("history")]

GRAPH = f"{RUN}/stage_2/epoch_1/deeplift/label"
END = f"{HISTORY}/stage_2/epoch_1/deeplift/label"
CLASS_0, CLASS_1 = (f"{HISTORY}/stage_2/epoch_1/deeplift/class:{label}" for label in (0, 1))


def rows(table: pd.DataFrame) -> list[tuple[object, ...]]:
    return list(table.itertuples(index=False, name=None))


def close(table: pd.DataFrame, expected: list[tuple[object, ...]]) -> bool:
    return [tuple(pytest.approx(v) if isinstance(v, float) else v for v in row) for row in expected] == rows(table)


@pytest.fixture
def saved(store):
    """Saves a graph whole; its id."""
    made = []

    def save(graph, stage=1, epoch=0, run=None):
        run = run or f"random-{uuid.uuid4().hex[:8]}"
        made.append(run)
        return store.save(graph, run_id=run, stage=stage, epoch=epoch, edge_mass=1.0).graph_id

    yield save
    for run in set(made):
        store.delete_run(run)


def test_neurons_by_what_flows_through_them_into_them_and_out(store):
    columns = ["layer", "index", "influence"]
    ask = {by: rows(store.query("neuron_flow", graph_id=GRAPH, by=by, top_k=2)[columns]) for by in ("in", "out")}
    assert ask == {"in": [("fc2", 0, 8.0), ("fc1", 0, 4.0)], "out": [("fc1", 0, 6.0), ("input", 1, 5.0)]}
    assert rows(store.query("neuron_flow", graph_id=GRAPH, kind="unit")) == [
        ("fc1", 0, "unit", 4.0, 4.0, 6.0, 4.0),
        ("fc1", 1, "unit", 2.0, 4.0, 2.0, 2.0),
    ]


def test_what_ranks_is_one_of_three(store):
    with pytest.raises(AttrGraphError, match="'by' of query 'neuron_flow' is 'up'; it is one of in, out, through"):
        store.query("neuron_flow", graph_id=GRAPH, by="up")


def test_supporting_and_inhibiting_influence_apart(store):
    assert rows(store.query("supporting_and_inhibiting_neurons", graph_id=GRAPH, top_k=4)) == [
        ("input", 1, "input", 5.0, 0.0, 5.0, 0.0, 0.0),
        ("fc1", 1, "unit", 2.0, 0.0, 2.0, 0.0, 4.0),
        ("input", 0, "input", 2.0, 2.0, 0.0, 0.0, 0.0),
        ("fc1", 0, "unit", 1.0, 1.0, 0.0, 2.0, 1.0),
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_flow_and_signs_are_sums_of_rows_and_columns(store, saved, seed):
    graph = make_random_graph(seed, 0.6)
    graph_id, mass, weight = saved(graph), dense(graph), dense(graph, 2)
    flow = store.query("neuron_flow", graph_id=graph_id, top_k=99)
    found = {f"{row.layer}/{row.index}": (row.total_in, row.total_out, row.through) for row in flow.itertuples()}
    expected = {
        name: (mass[row].sum(), mass[:, row].sum(), min(mass[row].sum(), mass[:, row].sum()))
        for row, name in enumerate(names(graph))
    }
    assert {name: pytest.approx(value) for name, value in expected.items()} == found
    signed = store.query("supporting_and_inhibiting_neurons", graph_id=graph_id, top_k=99)
    for row in signed.itertuples():
        place = names(graph).index(f"{row.layer}/{row.index}")
        assert row.supporting_out == pytest.approx(weight[:, place].clip(0).sum())
        assert row.inhibiting_out == pytest.approx((-weight[:, place]).clip(0).sum())
        assert row.supporting_in == pytest.approx(weight[place].clip(0).sum())
        assert row.inhibiting_in == pytest.approx((-weight[place]).clip(0).sum())
    assert signed["influence"].is_monotonic_decreasing


@pytest.mark.parametrize("name", ["personalised_pagerank", "personalised_pagerank_gds"])
def test_pagerank_walks_back_from_the_outputs(store, name):
    found = store.query(name, graph_id=GRAPH)
    assert close(found, [("fc1", 0, "unit", 0.15 * 0.85 * 6 / 8), ("fc1", 1, "unit", 0.15 * 0.85 * 2 / 8)])
    # END: output 1 is fed by fc1/1 alone
    of_one = store.query(name, graph_id=END, output=1, damping=0.5)
    assert close(of_one, [("fc1", 1, "unit", 0.25), ("fc1", 0, "unit", 0.0), ("fc1", 2, "unit", 0.0)])


@pytest.mark.parametrize("name", ["personalised_pagerank", "personalised_pagerank_gds"])
def test_both_forms_of_pagerank_are_that_of_the_core(store, saved, name):
    graph = make_random_graph(2, 0.7)
    expected = personalised_pagerank(graph, output=1).query("layer in ['fc1', 'fc2']")
    found = store.query(name, graph_id=saved(graph), output=1, top_k=99)
    merged = expected.merge(found, on=["layer", "index"])
    assert len(merged) == 8
    np.testing.assert_allclose(merged["influence"], merged["rank"], atol=1e-9)


def test_summit_keeps_what_holds_half_of_each_layers_rank(store):
    """fc1/0 has .15 (4/6 + .85 6/8), input/1 .15 (5/8 + .85 (1/4 fc1/0 + fc1/1)); see the shares in conftest."""
    first, second = 4 / 6 + 0.85 * 6 / 8, 2 / 6 + 0.85 * 2 / 8
    one, other = 3 / 8 + 0.85 * 3 / 4 * first, 5 / 8 + 0.85 * (first / 4 + second)
    found = store.query("summit_neurons", graph_id=GRAPH)
    assert close(found, [
        ("fc1", 0, "unit", 0.15 * first, first / (first + second)),
        ("fc2", 0, "output", 0.15, 1.0),
        ("input", 1, "input", 0.15 * other, other / (one + other)),
    ])  # fmt: skip
    assert len(store.query("summit_neurons", graph_id=GRAPH, layer_mass=1.0)) == 5


def test_summit_of_a_random_graph_is_that_of_the_core(store, saved):
    graph = make_random_graph(3)
    found = store.query("summit_neurons", graph_id=saved(graph), layer_mass=0.7)
    expected = summit_neurons(graph, 0.7)
    assert set(zip(found["layer"], found["index"], strict=True)) == set(
        zip(expected["layer"], expected["index"], strict=True)
    )


def test_betweenness_counts_strongest_ways(store, saved):
    """The strongest way of input/0 leads through fc1/0, that of input/1 (1/4 against 3/16) through fc1/1."""
    assert rows(store.query("betweenness", graph_id=GRAPH)) == [("fc1", 0, "unit", 0.5), ("fc1", 1, "unit", 0.5)]
    graph = make_random_graph(4)
    found = store.query("betweenness", graph_id=saved(graph), top_k=99)
    merged = found.merge(betweenness(graph), on=["layer", "index"])
    np.testing.assert_allclose(merged["influence"], merged["betweenness"])


def test_growth_since_an_epoch(store):
    assert rows(store.query("growth_since_epoch", graph_id=END, top_k=5)) == [
        ("input", 1, "input", 5.0, 1.0, 4.0),
        ("fc1", 0, "unit", 4.0, 1.0, 3.0),
        ("fc1", 1, "unit", 4.0, 1.0, 3.0),
        ("input", 0, "input", 3.0, 1.0, 2.0),
        ("fc1", 2, "unit", 0.0, 0.0, 0.0),
    ]
    later = store.query("growth_since_epoch", graph_id=END, since_stage=1, since_epoch=1, top_k=1)
    assert rows(later) == [("fc1", 1, "unit", 4.0, 1.0, 3.0)]
    assert store.query("growth_since_epoch", graph_id=END, since_stage=1, since_epoch=7).empty


def test_class_specific_neurons_have_influence_on_one_class(store):
    assert rows(store.query("class_specific_neurons", graph_id=CLASS_0)) == [
        ("fc1", 0, "unit", 0.75, 0.0, 1.0),
        ("fc1", 1, "unit", 0.25, 1.0, -0.6),
    ]


def test_shared_neurons_have_influence_on_all_classes(store):
    assert rows(store.query("shared_neurons", graph_id=END)) == [
        ("fc1", 1, "unit", 0.25, 0.625, 2),
        ("fc1", 0, "unit", 0.0, 0.375, 2),
        ("fc1", 2, "unit", 0.0, 0.0, 2),
    ]


def test_specific_and_shared_neurons_by_their_definitions(store, saved):
    run = f"random-{uuid.uuid4().hex[:8]}"
    shares = {}
    for label in range(3):
        graph = make_random_graph(label, 0.5, f"class:{label}")
        saved(graph, run=run)
        out = pd.Series(dense(graph).sum(axis=0), index=names(graph))
        layers = out.index.str.split("/").str[0]
        shares[label] = (out / out.groupby(layers).transform("sum")).filter(regex="fc[12]")
    table = pd.DataFrame(shares)
    graph_id = f"{run}/stage_1/epoch_0/deeplift/class:1"
    shared = store.query("shared_neurons", graph_id=graph_id, top_k=99)
    found = {f"{row.layer}/{row.index}": row.influence for row in shared.itertuples()}
    assert found == pytest.approx(table.min(axis=1).to_dict())
    specific = store.query("class_specific_neurons", graph_id=graph_id, top_k=99)
    elsewhere = table[[0, 2]].mean(axis=1)
    expected = ((table[1] - elsewhere) / (table[1] + elsewhere)).dropna().to_dict()
    assert {f"{row.layer}/{row.index}": row.specificity for row in specific.itertuples()} == pytest.approx(expected)
    assert specific["specificity"].is_monotonic_decreasing


def test_dead_neurons_pass_nothing_on(store):
    assert rows(store.query("dead_neurons", graph_id=END)) == [("fc1", 2, "unit", 0.0, 0)]
    assert rows(store.query("dead_neurons", graph_id=CLASS_1)) == [
        ("fc1", 0, "unit", 0.0, 2),
        ("fc1", 2, "unit", 0.0, 0),
    ]
    # fc1/1 of class 0 passes 1 where fc1/0 passes 3
    nearly = store.query("dead_neurons", graph_id=CLASS_0, threshold=0.34)
    assert rows(nearly) == [("fc1", 1, "unit", 1.0, 2), ("fc1", 2, "unit", 0.0, 0)]


def test_saturated_neurons_matter_from_the_baseline_on_and_not_here(store):
    assert rows(store.query("saturated_neurons", graph_id=END)) == [("fc1", 0, "unit", 3.0, 1.0, 0.5)]
    assert rows(store.query("saturated_neurons", graph_id=END, min_saturation=0.0)) == [
        ("fc1", 0, "unit", 3.0, 1.0, 0.5),
        ("fc1", 1, "unit", 2.0, 2.0, 0.0),
    ]
    assert store.query("saturated_neurons", graph_id=CLASS_0).empty  # no graph of the other method


def test_growth_death_and_saturation_of_random_graphs(store, saved):
    run = f"random-{uuid.uuid4().hex[:8]}"
    before, now = make_random_graph(10, 0.3), make_random_graph(11, 0.2)
    local = dataclasses.replace(make_random_graph(12), method="gradient_times_activation")
    saved(before, run=run)
    graph_id = saved(now, epoch=4, run=run)
    saved(local, epoch=4, run=run)

    def influence(graph):
        out = dense(graph).sum(axis=0)
        return np.where(graph.neurons["kind"] == "output", graph.neurons["abs_attribution"], out)

    def named(table, column):
        return {f"{row.layer}/{row.index}": getattr(row, column) for row in table.itertuples()}

    grown = store.query("growth_since_epoch", graph_id=graph_id, top_k=99)
    difference = influence(now) - influence(before)
    assert named(grown, "growth") == pytest.approx(dict(zip(names(now), difference, strict=True)))

    hidden = (now.neurons["kind"] == "unit").to_numpy()
    flow = pd.Series(np.maximum(dense(now).sum(axis=0), dense(now).sum(axis=1)), names(now))[hidden]
    most = flow.groupby(flow.index.str.split("/").str[0]).transform("max")
    dead = store.query("dead_neurons", graph_id=graph_id, threshold=0.3)
    assert named(dead, "influence") == pytest.approx(flow[flow <= 0.3 * most].to_dict())

    here, there = (graph.neurons["abs_attribution"][hidden] for graph in (now, local))
    saturation = pd.Series(((here - there) / (here + there)).to_numpy(), np.array(names(now))[hidden])
    found = store.query("saturated_neurons", graph_id=graph_id, min_saturation=0.1)
    assert named(found, "saturation") == pytest.approx(saturation[saturation >= 0.1].to_dict())


def test_redundant_neurons_are_equal_pairs(store, saved):
    twins = f"{HISTORY}/stage_2/epoch_1/lrp_epsilon/label"
    assert rows(store.query("redundant_neurons", graph_id=twins)) == [
        ("fc1", 0, 1, ["fc1/0", "fc1/1"], 1.0, 2.0, 2.0)
    ]  # fmt: skip
    assert store.query("redundant_neurons", graph_id=END).empty
    graph = make_random_graph(5)
    found = store.query("redundant_neurons", graph_id=saved(graph), min_similarity=0.01)
    expected = redundant_neurons(graph, 0.01).sort_values("similarity", ascending=False)
    assert found["similarity"].tolist() == pytest.approx(expected["similarity"].tolist())


def test_a_pair_has_both_neurons_as_members_of_its_circuit(store):
    twins = f"{HISTORY}/stage_2/epoch_1/lrp_epsilon/label"
    table = store.query("redundant_neurons", graph_id=twins)
    circuit_id = store.save_circuit(twins, "redundant_neurons", {}, table)
    members = store.run_cypher(
        "MATCH (:Circuit {circuit_id: $id})-[:CONTAINS]->(state) RETURN state.index AS index ORDER BY index",
        {"id": circuit_id},
    )
    assert members["index"].tolist() == [0, 1]


@pytest.mark.parametrize(("one", "other"), list(itertools.pairwise([1, 2, 4])))
def test_the_order_is_that_of_more_rows(store, one, other):
    first, second = (store.query("neuron_flow", graph_id=GRAPH, top_k=count) for count in (one, other))
    pd.testing.assert_frame_equal(second.head(one), first)
