"""Each computation beside a slow twin written from its definition, on random graphs, dense and sparse."""

import itertools

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from attrgraph_core.circuits.betweenness import betweenness
from attrgraph_core.circuits.communities import _connected, communities, core_numbers
from attrgraph_core.circuits.flow import flow_of
from attrgraph_core.circuits.greedy import greedy_edges
from attrgraph_core.circuits.minimum_cut import minimum_cut
from attrgraph_core.circuits.pagerank import personalised_pagerank, summit_neurons
from attrgraph_core.circuits.path_mass import path_mass
from attrgraph_core.circuits.redundancy import redundant_neurons
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.sparsify import sparsify
from tests.random_graphs import all_paths, dense, edges_of, make_random_graph, names, output_parts, row_shares

GRAPHS = [(seed, density) for seed in range(6) for density in (1.0, 0.5)]


@pytest.fixture(params=GRAPHS, ids=lambda given: f"seed {given[0]}, density {given[1]}")
def graph(request):
    return make_random_graph(*request.param)


def ends(table: pd.DataFrame) -> list[tuple[str, str]]:
    return [
        (f"{row.source_layer}/{row.source_index}", f"{row.target_layer}/{row.target_index}")
        for row in table.itertuples()
    ]


def test_path_mass_is_the_sum_over_all_paths(graph):
    shares, place = row_shares(dense(graph)), {name: row for row, name in enumerate(names(graph))}
    parts = output_parts(graph)
    expected = np.zeros(len(place))
    for path in all_paths(graph):
        strength = np.prod([shares[place[target], place[source]] for source, target, _, _ in path])
        for name in [path[0][0], *(target for _, target, _, _ in path)]:
            expected[place[name]] += strength * parts[place[path[-1][1]]]
    found = path_mass(graph)
    np.testing.assert_allclose(found["mass"], expected, atol=1e-12)
    np.testing.assert_allclose(found["mass"], found["to_outputs"] * found["from_inputs"])


def test_path_mass_of_one_output_counts_its_paths_alone(graph):
    shares, place = row_shares(dense(graph)), {name: row for row, name in enumerate(names(graph))}
    total = sum(
        np.prod([shares[place[target], place[source]] for source, target, _, _ in path])
        for path in all_paths(graph)
        if path[-1][1] == "fc3/1"
    )
    found = path_mass(graph, output=1)
    assert found.loc[found["layer"] == "input", "mass"].sum() == pytest.approx(total)


def test_path_mass_of_stored_edges_is_part_of_that_of_all():
    sparse = sparsify(make_random_graph(3), max_edges_per_neuron=2).graph
    assert (path_mass(sparse)["from_inputs"] < 1).any()
    assert (path_mass(make_random_graph(3))["from_inputs"].round(12) == 1).all()


@pytest.mark.parametrize("output", [None, 2])
def test_pagerank_solves_its_equation(graph, output):
    matrix = row_shares(dense(graph))
    chosen = (graph.neurons["kind"] == "output") & ((graph.neurons["index"] == output) | (output is None))
    start = np.where(chosen, 0.15, 0.0)
    expected = np.linalg.solve(np.eye(len(matrix)) - 0.85 * matrix.T, start)
    np.testing.assert_allclose(personalised_pagerank(graph, output)["rank"], expected, atol=1e-14)


def test_summit_keeps_the_fewest_neurons_of_a_layer_that_hold_its_mass(graph):
    matrix, neurons = row_shares(dense(graph)), graph.neurons
    start = neurons["abs_attribution"] / neurons.groupby("layer")["abs_attribution"].transform("sum")
    rank = pd.Series(np.linalg.solve(np.eye(len(matrix)) - 0.85 * matrix.T, 0.15 * start))
    kept = summit_neurons(graph, layer_mass=0.6)
    for layer, rows in neurons.groupby("layer"):
        own = sorted(zip(-rank[rows.index], rows["index"], strict=True))
        total = -sum(value for value, _ in own)
        fewest = next(n for n in range(1, len(own) + 1) if -sum(value for value, _ in own[:n]) >= 0.6 * total)
        assert set(kept.loc[kept["layer"] == layer, "index"]) == {index for _, index in own[:fewest]}


def test_betweenness_is_that_of_networkx(graph):
    shares, kinds = row_shares(dense(graph)), graph.neurons["kind"]
    digraph = nx.DiGraph()
    digraph.add_nodes_from(range(len(shares)))
    digraph.add_weighted_edges_from(
        (source, target, -np.log(shares[target, source])) for target, source in zip(*np.nonzero(shares), strict=True)
    )
    inputs, outputs = np.flatnonzero(kinds == "input"), np.flatnonzero(kinds == "output")
    pairs = sum(nx.has_path(digraph, i, o) for i, o in itertools.product(inputs, outputs))
    expected = nx.betweenness_centrality_subset(digraph, list(inputs), list(outputs), weight="weight")
    hidden = np.flatnonzero(kinds == "unit")
    found = betweenness(graph)["betweenness"]
    np.testing.assert_allclose(found[hidden], [expected[row] / pairs for row in hidden], atol=1e-12)
    assert (found.drop(hidden) == 0).all()


def test_equally_strong_paths_count_in_part():
    """Two ways from one input to one output, through the one unit or the other, of the same strength."""
    graph = make_random_graph(0)
    edges = graph.edges.iloc[:4].copy()
    edges[["source_layer", "source_index", "target_layer", "target_index"]] = [
        ("input", 0, "fc1", 0), ("input", 0, "fc1", 1), ("fc1", 0, "fc3", 0), ("fc1", 1, "fc3", 0)
    ]  # fmt: skip
    edges[["weight", "abs_weight"]] = 1.0
    found = betweenness(type(graph)(graph.neurons, edges, "deeplift", "label", "zeros", 1, 0.0))
    assert found.loc[found["betweenness"] > 0, ["layer", "index", "betweenness"]].to_numpy().tolist() == [
        ["fc1", 0, 0.5], ["fc1", 1, 0.5]
    ]  # fmt: skip


def test_greedy_takes_the_strongest_edge_into_what_it_has(graph):
    edges = edges_of(graph)
    inside = {name for name in names(graph) if name.startswith("fc3")}
    taken: list[tuple[str, str]] = []
    for _ in range(12):
        open_edges = [edge for edge in edges if edge[1] in inside and edge[:2] not in taken]
        if not open_edges:
            break
        best = max(open_edges, key=lambda edge: edge[3])
        taken.append((best[0], best[1]))
        inside.add(best[0])
    found = greedy_edges(graph, edge_count=12, connected=False)
    assert ends(found) == taken
    assert found["step"].tolist() == list(range(1, len(taken) + 1))


def test_a_connected_greedy_circuit_has_only_edges_on_paths_from_an_input(graph):
    found = ends(greedy_edges(graph, edge_count=12))
    digraph = nx.DiGraph(found)
    for source, target in found:
        above = nx.ancestors(digraph, source) | {source}
        below = nx.descendants(digraph, target) | {target}
        assert any(name.startswith("input") for name in above)
        assert any(name.startswith("fc3") for name in below)
    everything = ends(greedy_edges(graph, edge_count=12, connected=False))
    kept = set(found)
    whole = nx.DiGraph(everything)
    for edge in set(everything) - kept:  # nothing was taken out that a path needs
        reaches = nx.ancestors(whole, edge[0]) | {edge[0]}
        assert not any(name.startswith("input") for name in reaches)


@pytest.mark.parametrize("output", [None, 1])
def test_the_minimum_cut_is_as_cheap_as_that_of_networkx_and_cuts(graph, output):
    network = nx.DiGraph()
    for source, target, _, mass in edges_of(graph):
        network.add_edge(source, target, capacity=mass)
    goals = [f"fc3/{output}"] if output is not None else ["fc3/0", "fc3/1", "fc3/2"]
    for name in names(graph):
        if name.startswith("input"):
            network.add_edge("s", name)
        if name in goals:
            network.add_edge(name, "t")
    value, _ = nx.minimum_cut(network, "s", "t")
    cut = ends(minimum_cut(graph, output))
    mass = {edge[:2]: edge[3] for edge in edges_of(graph)}
    assert sum(mass[edge] for edge in cut) == pytest.approx(value, rel=1e-7)
    network.remove_edges_from(cut)
    assert not nx.has_path(network, "s", "t")


def test_an_output_that_nothing_reaches_needs_no_cut(graph):
    alone = graph.edges[graph.edges["target_layer"] != "fc3"]
    assert minimum_cut(type(graph)(graph.neurons, alone, "deeplift", "label", "zeros", 1, 0.0)).empty


def test_core_numbers_by_taking_neurons_out(graph):
    neighbours: dict[str, set[str]] = {}
    for source, target, _, _ in edges_of(graph):
        neighbours.setdefault(source, set()).add(target)
        neighbours.setdefault(target, set()).add(source)
    expected = {}
    for k in itertools.count(1):
        left = dict(neighbours)
        while True:
            weak = [name for name, near in left.items() if len(near & left.keys()) < k]
            if not weak:
                break
            for name in weak:
                del left[name]
        if not left:
            break
        expected.update(dict.fromkeys(left, k))
    found = core_numbers(graph)
    assert {f"{row.layer}/{row.index}": row.core for row in found.itertuples()} == expected


def test_a_community_that_does_not_hang_together_is_divided():
    """a - b, c - d: labelled as one, they are two."""
    pairs = csr_matrix(np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=float))
    assert _connected(pairs, np.zeros(4, dtype=int)).tolist() == [0, 0, 1, 1]
    assert _connected(pairs, np.array([0, 1, 2, 2])).tolist() == [0, 1, 2, 2]


def test_communities_are_better_than_none_and_repeat(graph):
    found = communities(graph, seed=1)
    pd.testing.assert_frame_equal(found, communities(graph, seed=1))
    shares = row_shares(dense(graph))
    undirected = nx.Graph()
    undirected.add_weighted_edges_from((s, t, shares[t, s]) for t, s in zip(*np.nonzero(shares), strict=True))
    groups = [set(rows.index) for _, rows in found.groupby("community")]
    assert set().union(*groups) == set(undirected)
    assert nx.community.modularity(undirected, groups) > 0  # one group of all has 0
    assert all(nx.is_connected(undirected.subgraph(group)) for group in groups)
    sizes = [len(group) for group in groups]
    assert sizes == sorted(sizes, reverse=True)


def test_redundant_neurons_by_every_pair(graph):
    weights = dense(graph, 2)
    vectors = np.hstack([weights, weights.T])
    neurons = graph.neurons
    expected = {}
    for one, other in itertools.combinations(neurons.index[neurons["kind"] == "unit"], 2):
        if neurons["layer"][one] != neurons["layer"][other]:
            continue
        x, y = vectors[one], vectors[other]
        similarity = 2 * x @ y / (x @ x + y @ y)
        if similarity >= 0.05:
            expected[neurons["layer"][one], neurons["index"][one], neurons["index"][other]] = similarity
    found = redundant_neurons(graph, min_similarity=0.05)
    assert {(row.layer, row.index, row.other_index): row.similarity for row in found.itertuples()} == pytest.approx(
        expected
    )


def test_equal_neurons_are_redundant_and_opposite_ones_are_not():
    graph = make_random_graph(0)
    edges = graph.edges.copy()
    for layer, index, side, factor in [("fc1", 1, "source", 1), ("fc1", 1, "target", 1), ("fc1", 2, "target", -1)]:
        model = edges[(edges[f"{side}_layer"] == layer) & (edges[f"{side}_index"] == 0)]
        own = (edges[f"{side}_layer"] == layer) & (edges[f"{side}_index"] == index)
        edges.loc[own, "weight"] = factor * model["weight"].to_numpy()
        edges.loc[own, "abs_weight"] = model["abs_weight"].to_numpy()
    same = type(graph)(graph.neurons, edges, "deeplift", "label", "zeros", 1, 0.0)
    found = redundant_neurons(same, min_similarity=1.0)
    assert found[["layer", "index", "other_index"]].to_numpy().tolist() == [["fc1", 0, 1]]


def test_a_graph_with_a_cycle_is_refused():
    graph = make_random_graph(0)
    back = graph.edges.iloc[[0]].assign(source_layer="fc2", source_index=0, target_layer="fc1", target_index=0)
    loop = type(graph)(graph.neurons, pd.concat([graph.edges, back]), "deeplift", "label", "zeros", 1, 0.0)
    with pytest.raises(AttrGraphError, match="a cycle"):
        path_mass(loop)
    assert flow_of(loop).shares.shape == (16, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda graph: path_mass(graph, output=7), "no output 7; its outputs are 0, 1, 2"),
        (lambda graph: personalised_pagerank(graph, damping=1.0), "damping is 1.0"),
        (lambda graph: summit_neurons(graph, layer_mass=0.0), "layer_mass is 0.0"),
        (lambda graph: greedy_edges(graph, edge_count=0), "edge_count is 0"),
        (lambda graph: communities(graph, resolution=0.0), "resolution is 0.0"),
        (lambda graph: communities(graph, seed=-1), "seed is -1"),
        (lambda graph: redundant_neurons(graph, min_similarity=1.5), "min_similarity is 1.5"),
        (lambda graph: minimum_cut(graph, output=3), "no output 3"),
    ],
)
def test_what_no_graph_allows_is_refused(call, message):
    with pytest.raises(AttrGraphError, match=message):
        call(make_random_graph(0))
