"""Each query takes no more db hits than its bound, on a run of two stages with graphs of 3,000 edges and of classes."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store.computed import compute
from attrgraph_core.store.queries import check_parameters, load_query, query_names
from attrgraph_core.targeting.neuron_set import NeuronSet
from tests.cypher.plan_bounds import BOUNDS
from tests.random_graphs import EDGE_COLUMNS

pytestmark = pytest.mark.neo4j

RUN, OTHER = "plan-bound-tests", "plan-bound-tests-other"
SIZES = {"input": 60, "fc1": 60, "fc2": 60, "output": 10}
KINDS = {"input": "input", "output": "output"}


def make_graph(seed: int, target: str = "label", method: str = "deeplift") -> AttributionGraph:
    """Four layers, 24 edges into each neuron."""
    generator = np.random.default_rng(seed)
    neurons = [
        (layer, index, KINDS.get(layer, "unit"), 1.0, 1.0) for layer, size in SIZES.items() for index in range(size)
    ]
    edges = [
        (source, int(i), layer, j, float(weight), abs(float(weight)))
        for source, layer in itertools.pairwise(SIZES)
        for j in range(SIZES[layer])
        for i, weight in zip(generator.choice(60, 24, replace=False), generator.normal(size=24), strict=True)
    ]
    table = pd.DataFrame(neurons, columns=["layer", "index", "kind", "attribution", "abs_attribution"])
    return AttributionGraph(table, pd.DataFrame(edges, columns=EDGE_COLUMNS), method, target, "zeros", 1, 0.0)


@pytest.fixture(scope="module")
def known(store):
    """What the queries are asked with."""
    for run in (RUN, OTHER):
        if len(store.graphs(run)):
            store.delete_run(run)
        store.save_run(run, "plan_tests", seed=0, config_hash="c", code_version="v")
    whole = {"edge_mass": 1.0, "accuracy": 0.5}
    store.save_stage(RUN, 2, "targeted", trained_weights=10)
    store.save(make_graph(0), run_id=RUN, stage=1, epoch=0, **whole)
    graph_id = store.save(make_graph(1), run_id=RUN, stage=2, epoch=1, **whole).graph_id
    for seed, about in enumerate([("class:0",), ("class:1",), ("label", "gradient_times_activation")]):
        store.save(make_graph(seed, *about), run_id=RUN, stage=2, epoch=1, **whole)
    other = store.save(make_graph(4), run_id=OTHER, stage=1, epoch=0, **whole).graph_id
    pairs = pd.DataFrame({"layer": "fc1", "index": range(60), "other_index": range(60), "correlation": 0.5})
    store.save_matches(RUN, OTHER, pairs)
    paths = store.query("strongest_paths", graph_id=graph_id, top_k=20)
    circuit_id = store.save_circuit(graph_id, "strongest_paths", {"top_k": 20}, paths)
    neuron_set = store.save_neuron_set([circuit_id], NeuronSet({"fc1": (0, 1)}, "random", 0.5), run_id=RUN)
    store.save_training(RUN, 2, neuron_set)
    yield {
        "graph_id": graph_id, "other_graph_id": other, "run_id": RUN, "stage_id": f"{RUN}/stage_2",
        "circuit_id": circuit_id, "neuron_set_id": neuron_set, "experiment": "plan_tests", "layer": "fc1", "index": 0,
    }  # fmt: skip
    for run in (RUN, OTHER):
        store.delete_run(run)


@pytest.fixture(scope="module")
def graph(store, known):
    return store.graph(known["graph_id"])


def db_hits(plan: dict[str, Any]) -> int:
    return (plan.get("dbHits") or 0) + sum(db_hits(child) for child in plan.get("children", []))


@pytest.mark.parametrize("name", query_names("analysis"))
def test_a_query_takes_no_more_db_hits_than_its_bound(store, neo4j_driver, known, graph, name):
    query = load_query(name)
    # Of one run, whatever else the server holds.
    asked = {taken: known[taken] for taken, about in query.params.items() if about.is_required or taken == "run_id"}
    values = check_parameters(query, asked)
    if query.computed is not None:
        values[query.computed.name] = compute(query, graph, values)
    _, summary, _ = neo4j_driver.execute_query("PROFILE " + query.text, values)
    of_each, beside = BOUNDS[name]
    assert db_hits(summary.profile) <= of_each * (len(graph.neurons) + len(graph.edges)) + beside


def test_every_bound_is_of_a_query():
    assert set(BOUNDS) == set(query_names("analysis"))
