"""Queries for what is to blame: rows worked out by hand, and twins in pandas on random graphs."""

import dataclasses
import uuid

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.failure_edges import blamed_inputs, failure_edges
from tests.cypher.conftest import RUN
from tests.random_graphs import make_random_graph
from tests.worked_graph import NEURONS, make_graph

pytestmark = pytest.mark.neo4j

# Into fc1 flow 4 + 1 in all; into fc2 4.
FAILURE = [
    ("input", 0, "fc1", 0, 4.0, 4.0), ("input", 1, "fc1", 1, -1.0, 1.0), ("fc1", 0, "fc2", 0, 3.0, 3.0),
    ("fc1", 1, "fc2", 0, 1.0, 1.0),
]  # fmt: skip
# Into fc1 flow 3 + 1; into fc2 8 of which none along fc1/1.
SUCCESS = [
    ("input", 0, "fc1", 0, -1.0, 3.0), ("input", 0, "fc1", 1, 1.0, 1.0), ("fc1", 0, "fc2", 0, 8.0, 8.0),
]  # fmt: skip


def rows(table):
    return [tuple(row) for row in table.itertuples(index=False)]


@pytest.fixture(scope="module")
def ids(store):
    run = f"failures-{uuid.uuid4().hex[:8]}"
    whole = {"run_id": run, "stage": 1, "epoch": 1, "edge_mass": 1.0}
    neurons = [("input", 0, "input", 3.0, 3.0), ("input", 1, "input", -1.0, 1.0), *NEURONS[2:]]
    yield {
        "graph_id": store.save(make_graph(FAILURE, "failure", neurons), **whole).graph_id,
        "other_graph_id": store.save(make_graph(SUCCESS, "success"), **whole).graph_id,
    }
    store.delete_run(run)


@pytest.fixture(scope="module")
def random_graphs(store):
    run = f"failures-{uuid.uuid4().hex[:8]}"
    graphs = [make_random_graph(seed, 0.7, target) for seed, target in ((3, "failure"), (4, "success"))]
    found = [store.save(graph, run_id=run, stage=1, epoch=1, edge_mass=1.0).graph_id for graph in graphs]
    yield graphs, {"graph_id": found[0], "other_graph_id": found[1]}
    store.delete_run(run)


def test_blame_is_the_share_of_the_failure_less_that_of_the_good(store, ids):
    """An edge that only the good samples use comes last, with less than nothing."""
    assert rows(store.query("failure_edges", **ids)) == [
        ("fc1", 1, "fc2", 0, 0.25, 0.25, 0.0),
        ("input", 0, "fc1", 0, 0.8 - 0.75, 0.8, 0.75),
        ("input", 1, "fc1", 1, -0.2, -0.2, 0.0),
        ("fc1", 0, "fc2", 0, -0.25, 0.75, 1.0),
        ("input", 0, "fc1", 1, -0.25, 0.0, 0.25),
    ]
    of_layer = store.query("failure_edges", **ids, target_layer="fc2", top_k=1)
    assert rows(of_layer) == [("fc1", 1, "fc2", 0, 0.25, 0.25, 0.0)]


def test_blamed_inputs_by_signed_attribution(store, ids):
    """3 and -1 of 4 in all, less 3 and 5 of 8."""
    assert rows(store.query("blamed_inputs", **ids)) == [
        ("input", 0, 0.75 - 0.375, 0.75, 0.375),
        ("input", 1, -0.25 - 0.625, -0.25, 0.625),
    ]


@pytest.mark.parametrize(("query", "twin"), [("failure_edges", failure_edges), ("blamed_inputs", blamed_inputs)])
def test_the_twin_agrees(store, random_graphs, query, twin):
    graphs, asked = random_graphs
    found, expected = store.query(query, **asked, top_k=1000), twin(*graphs)
    assert len(found) == len(expected) > 4
    shares = ["blame", "failure_share", "success_share"]
    assert rows(found.drop(columns=shares)) == rows(expected.drop(columns=shares))
    for share in shares:
        assert found[share].tolist() == pytest.approx(expected[share].tolist(), abs=1e-12)


def test_a_graph_without_influence_blames_nothing(store, ids):
    silent = dataclasses.replace(make_graph([], "silent"), neurons=make_graph([]).neurons.assign(attribution=0.0))
    run = f"failures-{uuid.uuid4().hex[:8]}"
    graph_id = store.save(silent, run_id=run, stage=1, epoch=1).graph_id
    inputs = store.query("blamed_inputs", graph_id=graph_id, other_graph_id=ids["other_graph_id"])
    edges = store.query("failure_edges", graph_id=graph_id, other_graph_id=ids["other_graph_id"])
    store.delete_run(run)
    assert inputs["failure_share"].tolist() == [0.0, 0.0]
    assert edges["failure_share"].tolist() == [0.0, 0.0, 0.0]


def test_an_unknown_graph_is_refused(store, ids):
    with pytest.raises(AttrGraphError, match="no complete graph 'nowhere'"):
        store.query("failure_edges", graph_id="nowhere", other_graph_id=ids["other_graph_id"])
    with pytest.raises(AttrGraphError, match="no complete graph 'nowhere'"):
        store.query("blamed_inputs", graph_id=f"{RUN}/stage_2/epoch_1/deeplift/label", other_graph_id="nowhere")
