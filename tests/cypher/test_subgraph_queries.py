"""Queries for subgraphs: rows worked out by hand on the graphs of conftest. Twins: tests/attrgraph_core/circuits."""

import uuid

import networkx as nx
import pandas as pd
import pytest

from attrgraph_core.circuits.communities import communities, core_numbers
from attrgraph_core.circuits.greedy import greedy_edges
from attrgraph_core.circuits.minimum_cut import minimum_cut
from attrgraph_core.circuits.pruning import pruned_edges, pruned_neurons
from tests.cypher.conftest import HISTORY, RUN
from tests.random_graphs import dense, edges_of, make_random_graph, names, row_shares

pytestmark = pytest.mark.neo4j

GRAPH = f"{RUN}/stage_2/epoch_1/deeplift/label"
BEGINNING = f"{HISTORY}/stage_1/epoch_0/deeplift/label"
ENDS = ["source_layer", "source_index", "target_layer", "target_index"]


@pytest.fixture(scope="module")
def random_graph():
    return make_random_graph(1, 0.7)


@pytest.fixture(scope="module")
def random_id(store, random_graph):
    run = f"random-{uuid.uuid4().hex[:8]}"
    yield store.save(random_graph, run_id=run, stage=1, epoch=0, edge_mass=1.0).graph_id
    store.delete_run(run)


def rows(table):
    return list(table.itertuples(index=False, name=None))


def same_rows(found: pd.DataFrame, expected: pd.DataFrame, by: list[str]) -> bool:
    assert len(found)
    return sorted(rows(found[by])) == sorted(rows(expected[by]))


def test_pruning_keeps_what_holds_most_influence(store):
    """Influences are .75 (fc1/0), .5625, .4375 and .25 (fc1/1), which is beyond .8 of their sum."""
    assert rows(store.query("pruned_neurons", graph_id=GRAPH)) == [
        ("fc2", 0, "output", 1.0),
        ("fc1", 0, "unit", 0.75),
        ("input", 0, "input", 0.5625),
        ("input", 1, "input", 0.4375),
    ]
    assert rows(store.query("pruned_edges", graph_id=GRAPH)) == [
        ("fc1", 0, "fc2", 0, 1.0, 6.0, 1.0),
        ("input", 0, "fc1", 0, 2.0, 3.0, 0.75),
        ("input", 1, "fc1", 0, -1.0, 1.0, 0.25),
    ]
    fewer = store.query("pruned_edges", graph_id=GRAPH, edge_threshold=0.8)
    assert rows(fewer[ENDS]) == [("fc1", 0, "fc2", 0), ("input", 0, "fc1", 0)]


def test_pruning_of_a_random_graph_is_that_of_the_core(store, random_graph, random_id):
    thresholds = {"node_threshold": 0.6, "edge_threshold": 0.8}
    found = store.query("pruned_neurons", graph_id=random_id, **thresholds)
    assert same_rows(found, pruned_neurons(random_graph, 0.6, 0.8), ["layer", "index"])
    assert same_rows(
        store.query("pruned_edges", graph_id=random_id, **thresholds), pruned_edges(random_graph, 0.6, 0.8), ENDS
    )


def test_pruned_edges_make_a_circuit_of_their_neurons(store):
    circuit_id = store.save_circuit(GRAPH, "pruned_edges", {}, store.query("pruned_edges", graph_id=GRAPH))
    members = store.run_cypher(
        "MATCH (:Circuit {circuit_id: $id})-[:CONTAINS]->(state) RETURN state.layer + '/' + state.index AS name",
        {"id": circuit_id},
    )
    assert sorted(members["name"]) == ["fc1/0", "fc2/0", "input/0", "input/1"]


def test_greedy_grows_from_the_output(store, random_graph, random_id):
    assert rows(store.query("greedy_edges", graph_id=GRAPH, edge_count=3, connected=False)) == [
        ("fc1", 0, "fc2", 0, 1.0, 6.0, 1),
        ("input", 0, "fc1", 0, 2.0, 3.0, 2),
        ("fc1", 1, "fc2", 0, -2.0, 2.0, 3),
    ]
    # fc1/1 has no way from an input yet
    assert store.query("greedy_edges", graph_id=GRAPH, edge_count=3)["step"].tolist() == [1, 2]
    found = store.query("greedy_edges", graph_id=random_id, edge_count=15, output=1)
    assert same_rows(found, greedy_edges(random_graph, 15, output=1), [*ENDS, "step"])


def test_the_minimum_cut_is_what_the_inputs_can_bring(store, random_graph, random_id):
    """fc1/0 is brought 4 and could pass 6; fc1/1 is brought 4 and passes 2."""
    assert rows(store.query("minimum_cut", graph_id=GRAPH)) == [
        ("input", 0, "fc1", 0, 2.0, 3.0),
        ("fc1", 1, "fc2", 0, -2.0, 2.0),
        ("input", 1, "fc1", 0, -1.0, 1.0),
    ]
    found = store.query("minimum_cut", graph_id=random_id, output=2)
    assert same_rows(found, minimum_cut(random_graph, output=2), ENDS)


def test_top_edges_by_weight_and_by_share(store, random_graph, random_id):
    columns = [*ENDS, "abs_weight", "share"]
    assert rows(store.query("top_edges", graph_id=GRAPH, top_k=2)[columns]) == [
        ("fc1", 0, "fc2", 0, 6.0, 0.75),
        ("input", 1, "fc1", 1, 4.0, 1.0),
    ]
    assert rows(store.query("top_edges", graph_id=GRAPH, top_k=2, by="share")[columns]) == [
        ("input", 1, "fc1", 1, 4.0, 1.0),
        ("fc1", 0, "fc2", 0, 6.0, 0.75),
    ]
    shares, place = row_shares(dense(random_graph)), {name: row for row, name in enumerate(names(random_graph))}
    for by in ("weight", "share"):
        score = {e[:2]: e[3] if by == "weight" else shares[place[e[1]], place[e[0]]] for e in edges_of(random_graph)}
        expected = sorted(score, key=lambda ends: -score[ends])[:20]
        found = store.query("top_edges", graph_id=random_id, top_k=20, by=by)
        assert [(f"{r.source_layer}/{r.source_index}", f"{r.target_layer}/{r.target_index}")
                for r in found.itertuples()] == expected  # fmt: skip


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("name", ["communities", "communities_gds"])
def test_two_chains_are_two_communities_named_by_their_classes(store, name):
    assert rows(store.query(name, graph_id=BEGINNING)) == [
        (0, "class:0", 3, "fc1", 0, "unit", 1.0),
        (0, "class:0", 3, "fc2", 0, "output", 0.0),
        (0, "class:0", 3, "input", 0, "input", 1.0),
        (1, "class:1", 3, "fc1", 1, "unit", 1.0),
        (1, "class:1", 3, "fc2", 1, "output", 0.0),
        (1, "class:1", 3, "input", 1, "input", 1.0),
    ]


def test_communities_without_graphs_of_classes_have_no_name(store, random_graph, random_id):
    found = store.query("communities", graph_id=random_id, seed=3)
    assert set(found["name"]) == {"none"}
    assert same_rows(found, communities(random_graph, seed=3), ["layer", "index", "community"])


def test_leiden_finds_groups_as_good_as_louvain(store, random_graph, random_id):
    shares = row_shares(dense(random_graph))
    undirected = nx.Graph()
    named = names(random_graph)
    undirected.add_weighted_edges_from(
        (named[source], named[target], shares[target, source]) for target, source in zip(*shares.nonzero(), strict=True)
    )

    def modularity(name: str) -> float:
        found = store.query(name, graph_id=random_id)
        members = found["layer"] + "/" + found["index"].astype(str)
        return nx.community.modularity(undirected, [set(members[rows.index]) for _, rows in found.groupby("community")])

    assert modularity("communities_gds") == pytest.approx(modularity("communities"), abs=0.05)
    assert modularity("communities_gds") > 0


@pytest.mark.parametrize("name", ["k_core", "k_core_gds"])
def test_the_innermost_core_and_a_wider_one(store, name):
    """input/1, fc1/0, fc2/0 and fc1/1 are a ring; input/0 hangs on it by one edge."""
    assert rows(store.query(name, graph_id=GRAPH)) == [
        ("fc1", 0, "unit", 2, 6.0), ("fc1", 1, "unit", 2, 2.0), ("fc2", 0, "output", 2, 0.0),
        ("input", 1, "input", 2, 5.0),
    ]  # fmt: skip
    assert rows(store.query(name, graph_id=GRAPH, k=1))[-1] == ("input", 0, "input", 1, 3.0)
    assert store.query(name, graph_id=GRAPH, k=3).empty


@pytest.mark.parametrize("name", ["k_core", "k_core_gds"])
def test_core_numbers_of_a_random_graph(store, random_graph, random_id, name):
    assert same_rows(store.query(name, graph_id=random_id, k=0), core_numbers(random_graph), ["layer", "index", "core"])
