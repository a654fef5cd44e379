"""Queries for paths: rows worked out by hand on the graph of conftest, and every path of random graphs."""

import uuid

import numpy as np
import pytest

from attrgraph_core.circuits.path_mass import path_mass
from tests.cypher.conftest import HISTORY, RUN
from tests.random_graphs import all_paths, dense, make_random_graph, names, row_shares

pytestmark = pytest.mark.neo4j

GRAPH = f"{RUN}/stage_2/epoch_1/deeplift/label"
END = f"{HISTORY}/stage_2/epoch_1/deeplift/label"


@pytest.fixture
def random_run(store):
    run = f"random-{uuid.uuid4().hex[:8]}"
    yield run
    store.delete_run(run)


def rows(table):
    return list(table.itertuples(index=False, name=None))


def test_widest_paths_rank_by_their_narrowest_share(store):
    assert rows(store.query("widest_paths", graph_id=GRAPH)) == [
        (1, ["input/0", "fc1/0", "fc2/0"], 0.75, 1),
        (2, ["input/1", "fc1/0", "fc2/0"], 0.25, -1),
        (3, ["input/1", "fc1/1", "fc2/0"], 0.25, -1),
    ]


def test_heaviest_paths_rank_by_sums(store):
    assert rows(store.query("heaviest_paths", graph_id=GRAPH)) == [
        (1, ["input/0", "fc1/0", "fc2/0"], 9.0, 1),
        (2, ["input/1", "fc1/0", "fc2/0"], 7.0, -1),
        (3, ["input/1", "fc1/1", "fc2/0"], 6.0, -1),
    ]


@pytest.mark.usefixtures("history")
def test_paths_to_one_output(store):
    found = store.query("widest_paths", graph_id=END, output=1)
    assert [names[-1] for names in found["neurons"]] == ["fc2/1"]
    assert [names[-1] for names in store.query("heaviest_paths", graph_id=END, output=1)["neurons"]] == ["fc2/1"]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_path_of_a_random_graph_in_its_order(store, random_run, seed):
    graph = make_random_graph(seed, 0.7)
    graph_id = store.save(graph, run_id=random_run, stage=1, epoch=0, edge_mass=1.0).graph_id
    shares, place = row_shares(dense(graph)), {name: row for row, name in enumerate(names(graph))}
    signs = np.sign(graph.neurons["attribution"].to_numpy())
    widest, heaviest = [], []
    for path in all_paths(graph):
        nodes = [path[0][0], *(target for _, target, _, _ in path)]
        sign = np.prod([np.sign(weight) for _, _, weight, _ in path]) * np.prod([signs[place[n]] for n in nodes[1:-1]])
        widest.append((min(shares[place[target], place[source]] for source, target, _, _ in path), nodes, sign))
        heaviest.append((sum(mass for _, _, _, mass in path), nodes, sign))
    for name, expected in (("widest_paths", widest), ("heaviest_paths", heaviest)):
        expected.sort(key=lambda row: (-row[0], row[1]))
        found = store.query(name, graph_id=graph_id, top_k=40, beam_width=10_000)
        assert found["strength"].tolist() == pytest.approx([row[0] for row in expected[:40]])
        known = {tuple(nodes): (strength, sign) for strength, nodes, sign in expected}
        for row in found.itertuples():  # which of equally strong paths comes first is rounding's to say
            assert known[tuple(row.neurons)] == (pytest.approx(row.strength), row.sign)


def test_a_narrow_beam_bounds_the_work_and_keeps_paths(store):
    assert rows(store.query("heaviest_paths", graph_id=GRAPH, beam_width=1)) == [
        (1, ["input/0", "fc1/0", "fc2/0"], 9.0, 1)
    ]


def test_path_mass_is_what_leads_through_a_neuron(store):
    found = store.query("path_mass", graph_id=GRAPH)
    assert rows(found) == [
        ("fc2", 0, "output", 1.0, 1.0, 1.0),
        ("fc1", 0, "unit", 0.75, 0.75, 1.0),
        ("input", 0, "input", 0.5625, 0.5625, 1.0),
        ("input", 1, "input", 0.4375, 0.4375, 1.0),
        ("fc1", 1, "unit", 0.25, 0.25, 1.0),
    ]
    assert len(store.query("path_mass", graph_id=GRAPH, kind="unit", top_k=1)) == 1


def test_path_mass_of_a_graph_of_strongest_edges_counts_what_is_stored(store, random_run):
    graph = make_random_graph(7)
    graph_id = store.save(graph, run_id=random_run, stage=1, epoch=0, max_edges_per_neuron=2).graph_id
    found = store.query("path_mass", graph_id=graph_id, top_k=99).set_index(["layer", "index"])["influence"]
    expected = path_mass(store.graph(graph_id)).set_index(["layer", "index"])["mass"]
    assert found.to_dict() == pytest.approx(expected.to_dict())
    outputs = found[found.index.get_level_values("layer") == "fc3"].sum()
    assert 0 < outputs < 1
