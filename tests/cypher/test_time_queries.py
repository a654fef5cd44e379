"""Queries through time, between stages and between runs: rows worked out by hand, and twins on random epochs."""

import uuid

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.errors import AttrGraphError
from tests.cypher.conftest import HISTORY, OTHER
from tests.random_graphs import dense, edges_of, make_random_graph, names

pytestmark = [pytest.mark.neo4j, pytest.mark.usefixtures("history")]

MIDDLE = f"{HISTORY}/stage_1/epoch_1/deeplift/label"
END = f"{HISTORY}/stage_2/epoch_1/deeplift/label"
OTHERS = f"{OTHER}/stage_1/epoch_1/deeplift/label"
ENDS = ["source_layer", "source_index", "target_layer", "target_index"]


def rows(table):
    return list(table.itertuples(index=False, name=None))


def close(table, expected):
    return [tuple(pytest.approx(v) if isinstance(v, float) else v for v in row) for row in expected] == rows(table)


@pytest.fixture(scope="module")
def epochs():
    return [make_random_graph(seed, 0.6) for seed in range(4)]


@pytest.fixture(scope="module")
def random_run(store, epochs):
    """Four random graphs as the epochs of two stages."""
    run = f"random-{uuid.uuid4().hex[:8]}"
    for place, graph in enumerate(epochs):
        store.save(graph, run_id=run, stage=1 + place // 2, epoch=place % 2, edge_mass=1.0)
    yield run
    store.delete_run(run)


def test_circuit_stability_follows_the_strongest_edges(store):
    """Two edges a graph: fc1/0-fc2/0 and fc1/1-fc2/1, then input/0-fc1/0 for the second, then input/1-fc1/1."""
    found = store.query("circuit_stability", run_id=HISTORY, top_k=2).drop(columns="graph_id")
    assert close(found, [
        (1, 0, 2, 2, 0, 0.0, 1 / 3),
        (1, 1, 2, 1, 1, 1 / 3, 1 / 3),
        (2, 1, 2, 1, 1, 1 / 3, 1.0),
    ])  # fmt: skip


def test_circuit_stability_of_random_epochs_by_sets(store, epochs, random_run):
    circuits = [
        {edge[:2] for edge in sorted(edges_of(graph), key=lambda edge: -edge[3])[:15]} for graph in epochs
    ]  # fmt: skip
    found = store.query("circuit_stability", run_id=random_run, top_k=15)
    for place, (own, before) in enumerate(zip(circuits, [set(), *circuits], strict=False)):
        row = found.iloc[place]
        assert (row["born"], row["died"]) == (len(own - before), len(before - own))
        assert row["jaccard"] == pytest.approx(len(own & before) / len(own | before))
        assert row["jaccard_last"] == pytest.approx(len(own & circuits[-1]) / len(own | circuits[-1]))


def test_edges_are_born_and_die(store):
    assert rows(store.query("edge_births_and_deaths", graph_id=END)) == [
        ("born", "fc1", 1, "fc2", 0, -2.0, 2.0),
        ("died", "input", 0, "fc1", 1, 1.0, 1.0),
    ]
    assert store.query("edge_births_and_deaths", graph_id=f"{HISTORY}/stage_1/epoch_0/deeplift/label").empty


def test_births_and_deaths_of_random_epochs_by_sets(store, epochs, random_run):
    found = store.query("edge_births_and_deaths", graph_id=f"{random_run}/stage_2/epoch_0/deeplift/label", top_k=999)
    own, before = ({edge[:2] for edge in edges_of(epochs[place])} for place in (2, 1))
    for change, expected in (("born", own - before), ("died", before - own)):
        of_it = found[found["change"] == change]
        assert {(f"{r.source_layer}/{r.source_index}", f"{r.target_layer}/{r.target_index}")
                for r in of_it.itertuples()} == expected  # fmt: skip


def test_drift_is_the_share_of_influence_that_moved(store):
    """fc1/0 has .5, then .8, then .5 of it."""
    found = store.query("influence_drift", run_id=HISTORY).drop(columns="graph_id")
    assert close(found, [(1, 0, 0.0, 0.0), (1, 1, 0.3, 0.3), (2, 1, 0.3, 0.0)])
    of_class = store.query("influence_drift", run_id=HISTORY, target="class:0").drop(columns="graph_id")
    assert close(of_class, [(1, 0, 0.0, 0.0), (2, 1, 0.25, 0.25)])


def test_drift_of_random_epochs_is_half_the_sum_of_differences(store, epochs, random_run):
    shares = []
    for graph in epochs:
        hidden = (graph.neurons["kind"] == "unit").to_numpy()
        out = dense(graph).sum(axis=0)[hidden]
        shares.append(out / out.sum())
    found = store.query("influence_drift", run_id=random_run)
    before = [shares[0], *shares[:-1]]
    expected = [abs(own - past).sum() / 2 for own, past in zip(shares, before, strict=True)]
    np.testing.assert_allclose(found["drift"], expected, atol=1e-12)
    np.testing.assert_allclose(found["drift_first"], [abs(own - shares[0]).sum() / 2 for own in shares], atol=1e-12)


def test_a_circuit_through_time(store, history):
    """Edges input/0-fc1/0 and input/1-fc1/0, of 2 each in their own graph."""
    found = store.query("circuit_through_time", circuit_id=history["found"]).drop(columns="graph_id")
    assert close(found, [(1, 0, 0.5, 0.25), (1, 1, 1.0, 1.0), (2, 1, 1.0, 1.0)])


def test_the_first_epoch_at_which_a_circuit_holds(store, history):
    def ask(**parameters):
        found = store.query("first_epoch_of_circuit", circuit_id=history["found"], **parameters)
        return rows(found.drop(columns="graph_id"))

    assert ask() == [(1, 1, 1.0, True)]
    assert ask(min_share=0.5) == [(1, 0, 0.5, True)]
    assert ask(min_share=1.1) == []


def test_a_circuit_through_random_epochs_by_its_edges(store, epochs, random_run):
    members = pd.DataFrame({"layer": ["input"] * 3 + ["fc1"] * 3 + ["fc2"] * 2, "index": [0, 1, 2, 0, 1, 2, 0, 3]})
    own_id = f"{random_run}/stage_2/epoch_0/deeplift/label"
    circuit_id = store.save_circuit(own_id, "neuron_influence", {}, members)
    inside = {f"{row.layer}/{row.index}" for row in members.itertuples()}
    known = {edge[:2]: edge for edge in edges_of(epochs[2]) if {edge[0], edge[1]} <= inside}
    shares, masses = [], []
    for graph in epochs:
        there = [edge for edge in edges_of(graph) if edge[:2] in known]
        held = [edge for edge in there if np.sign(edge[2]) == np.sign(known[edge[:2]][2])]
        shares.append(len(held) / len(known))
        masses.append(sum(edge[3] for edge in there) / sum(edge[3] for edge in known.values()))
    found = store.query("circuit_through_time", circuit_id=circuit_id)
    np.testing.assert_allclose(found["share"], shares)
    np.testing.assert_allclose(found["relative_mass"], masses)
    for min_share in (0.2, 0.4, 1.0):
        places = [place for place, share in enumerate(shares) if share >= min_share]
        first = store.query("first_epoch_of_circuit", circuit_id=circuit_id, min_share=min_share)
        expected = (1 + places[0] // 2, places[0] % 2, len(places) == len(shares) - places[0])
        assert rows(first[["stage", "epoch", "is_lasting"]]) == [expected]


def test_random_runs_against_each_other_by_random_matches(store, epochs):
    experiment = f"random-{uuid.uuid4().hex[:8]}"
    runs, graphs = [f"{experiment}-a", f"{experiment}-b"], epochs[:2]
    ids = []
    for run, graph in zip(runs, graphs, strict=True):
        store.save_run(run, experiment, seed=0, config_hash="c", code_version="v")
        ids.append(store.save(graph, run_id=run, stage=1, epoch=0, edge_mass=1.0).graph_id)
    generator = np.random.default_rng(0)
    partner = {
        f"{layer}/{i}": (f"{layer}/{j}", float(generator.random()))
        for layer in ("fc1", "fc2")
        for i, j in enumerate(generator.permutation(4).tolist())
    }
    pairs = [(*name.split("/"), other.split("/")[1], value) for name, (other, value) in partner.items()]
    table = pd.DataFrame(pairs, columns=["layer", "index", "other_index", "correlation"])
    store.save_matches(*runs, table.astype({"index": int, "other_index": int}))
    out = [pd.Series(dense(graph).sum(axis=0), index=names(graph)) for graph in graphs]
    shares = [one / one.groupby(one.index.str.split("/").str[0]).transform("sum") for one in out]
    found = store.query("run_against_run", graph_id=ids[0], other_graph_id=ids[1], top_k=99)
    agreement = store.query("seed_agreement", experiment=experiment, top_k=3)
    for run in runs:
        store.delete_run(run)
    assert {f"{row.layer}/{row.index}": row.difference for row in found.itertuples()} == pytest.approx(
        {name: shares[0][name] - shares[1][other] for name, (other, _) in partner.items()}
    )
    top = [set(one.filter(regex="fc[12]").nlargest(3).index) for one in out]
    shared = sum(partner[name][0] in top[1] for name in top[0])
    correlation = np.mean([partner[name][1] for name in top[0]])
    assert close(agreement, [(*runs, shared, shared / (6 - shared), float(correlation))])


def test_a_circuit_that_is_not_stored_is_refused(store):
    with pytest.raises(AttrGraphError, match="there is no circuit 'nowhere'"):
        store.query("circuit_through_time", circuit_id="nowhere")


def test_one_stage_against_another(store):
    found = store.query("stage_against_stage", run_id=HISTORY)
    assert close(found, [
        ("fc1", 0, "unit", 0.5, 0.8, -0.3),
        ("fc1", 1, "unit", 0.5, 0.2, 0.3),
        ("input", 0, "input", 3 / 8, 1 / 2, -1 / 8),
        ("input", 1, "input", 5 / 8, 1 / 2, 1 / 8),
        ("fc1", 2, "unit", 0.0, 0.0, 0.0),
    ])  # fmt: skip
    assert store.query("stage_against_stage", run_id=HISTORY, other_stage=3).empty


def test_stages_of_random_epochs_by_their_shares(store, epochs, random_run):
    def shares(graph):
        out = pd.Series(dense(graph).sum(axis=0), index=names(graph))
        return (out / out.groupby(out.index.str.split("/").str[0]).transform("sum")).dropna()

    found = store.query("stage_against_stage", run_id=random_run, top_k=99)
    change = (shares(epochs[3]) - shares(epochs[1])).to_dict()
    assert {f"{row.layer}/{row.index}": row.change for row in found.itertuples()} == pytest.approx(change)


def test_matched_neurons_from_either_run(store):
    assert rows(store.query("matched_neurons", run_id=HISTORY)) == [
        (OTHER, "fc1", 0, 1, 0.9),
        (OTHER, "fc1", 1, 0, 0.8),
        (OTHER, "fc1", 2, 2, 0.0),
    ]
    back = store.query("matched_neurons", run_id=OTHER, other_run_id=HISTORY)
    assert rows(back)[0] == (HISTORY, "fc1", 0, 1, 0.8)


def test_one_run_against_another_by_matched_neurons(store):
    found = store.query("run_against_run", graph_id=MIDDLE, other_graph_id=OTHERS)
    assert close(found, [
        ("fc1", 0, 1, 0.9, 0.8, 0.5, 0.3),
        ("fc1", 1, 0, 0.8, 0.2, 0.5, -0.3),
        ("fc1", 2, 2, 0.0, 0.0, 0.0, 0.0),
    ])  # fmt: skip
    with pytest.raises(AttrGraphError, match="there is no complete graph 'nowhere'"):
        store.query("run_against_run", graph_id=MIDDLE, other_graph_id="nowhere")


def test_seeds_agree_where_the_matches_of_the_strongest_are_strongest(store):
    """fc1/0 is strongest in both; its match in the other run is fc1/1, which is second."""

    def ask(top_k):
        return store.query("seed_agreement", experiment="query_history", top_k=top_k)

    assert close(ask(1), [(HISTORY, OTHER, 0, 0.0, 0.9)])
    assert close(ask(2), [(HISTORY, OTHER, 2, 1.0, 0.85)])
    assert store.query("seed_agreement", experiment="query_history", target="class:7").empty


def test_matches_replace_each_other_and_go_with_their_run(store):
    runs = [f"random-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for run in runs:
        store.save(make_random_graph(0), run_id=run, stage=1, epoch=0)
    pairs = pd.DataFrame({"layer": "fc1", "index": [0, 1], "other_index": [1, 0], "correlation": [0.5, 0.25]})
    assert store.save_matches(*runs, pairs) == 2
    assert store.save_matches(runs[1], runs[0], pairs.head(1)) == 1  # the other way round
    assert rows(store.query("matched_neurons", run_id=runs[0])) == [(runs[1], "fc1", 1, 0, 0.5)]
    store.delete_run(runs[1])
    assert store.query("matched_neurons", run_id=runs[0]).empty
    store.delete_run(runs[0])


@pytest.mark.parametrize(
    ("other_run", "change", "message"),
    [
        (HISTORY, {}, "matched with themselves"),
        (OTHER, {"other_index": [1, 1]}, "a neuron of run 'query-history-other' is in two matches"),
        (OTHER, {"index": [0, 77]}, "1 of 2 neurons, fc1/77 first, are not in run query-history"),
        ("nowhere", {}, "are not in run nowhere"),
    ],
)
def test_matches_that_make_no_sense_change_nothing(store, other_run, change, message):
    before = rows(store.query("matched_neurons", run_id=HISTORY))
    pairs = pd.DataFrame({"layer": "fc1", "index": [0, 1], "other_index": [1, 0], "correlation": 0.5} | change)
    with pytest.raises(AttrGraphError, match=message):
        store.save_matches(HISTORY, other_run, pairs)
    assert rows(store.query("matched_neurons", run_id=HISTORY)) == before
