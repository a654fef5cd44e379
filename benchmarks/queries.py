"""How long a query takes, beside NetworkX and igraph asked the same of the graph in memory.

    python benchmarks/queries.py [--edges 10000 100000 1000000] [--rounds 5 3 1] [--only NAME ...] [--alone]

The server is that of NEO4J_URI, or the embedded one. Each size is a run of two epochs of one network and another run,
six graphs: two epochs, two classes and another method of the last, and the other run's; --alone saves one graph, and
leaves out what needs more. Of two graphs the libraries are asked with both in memory. A question is asked of all three
in turn, round by round, after one call that is not counted unless it is long (the server plans a query the first
time). Prints a table a size: median milliseconds, and for the libraries those with reading the graph from the store and
building theirs, which a program does that has no graph yet. What a library has not is left out; so is what took it more
than LIMIT seconds at a smaller size. igraph is GPL and no dependency: `pip install igraph` to have its column.
"""

import argparse
import functools
import heapq
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.queries import load_query, query_names
from attrgraph_core.targeting.neuron_set import NeuronSet

try:
    import igraph
except ImportError:
    igraph = None

RUN, OTHER_RUN = "benchmark-queries", "benchmark-queries-other"
IN_DEGREE = 64
LIMIT = 20.0
OUTPUTS = 10


def make_graph(edge_count: int, seed: int, target: str, method: str = "deeplift") -> AttributionGraph:
    """Inputs, three hidden layers of equal width, ten outputs; 64 random edges into each neuron."""
    generator = np.random.default_rng(seed)
    width = max(IN_DEGREE, (edge_count - OUTPUTS * IN_DEGREE) // (3 * IN_DEGREE))
    sizes = {"input": width, "fc1": width, "fc2": width, "fc3": width, "output": OUTPUTS}
    kinds = {"input": "input", "output": "output"}
    neurons = [
        pd.DataFrame({"layer": layer, "index": np.arange(size), "kind": kinds.get(layer, "unit"),
                      "attribution": generator.normal(size=size)})
        for layer, size in sizes.items()
    ]  # fmt: skip
    edges = []
    for source, layer in itertools.pairwise(sizes):
        sources = np.concatenate([generator.choice(width, IN_DEGREE, replace=False) for _ in range(sizes[layer])])
        weight = generator.normal(size=len(sources))
        ends = {"source_layer": source, "source_index": sources, "target_layer": layer}
        targets = np.repeat(np.arange(sizes[layer]), IN_DEGREE)
        edges.append(pd.DataFrame({**ends, "target_index": targets, "weight": weight, "abs_weight": abs(weight)}))
    table = pd.concat(neurons, ignore_index=True)
    table["abs_attribution"] = table["attribution"].abs()
    return AttributionGraph(table, pd.concat(edges, ignore_index=True), method, target, "zeros", 1, 0.0)


def make_networkx(graph: AttributionGraph) -> nx.DiGraph:
    """Nodes are (layer, index); edges have weight, mass, share and cost."""
    found = nx.DiGraph()
    for layer, index, kind, mass in graph.neurons[["layer", "index", "kind", "abs_attribution"]].itertuples(
        index=False
    ):
        found.add_node((layer, index), kind=kind, mass=mass)
    total = graph.edges.groupby(["target_layer", "target_index"])["abs_weight"].transform("sum")
    share = (graph.edges["abs_weight"] / total).to_numpy()
    columns = [graph.edges[name].tolist() for name in ("source_layer", "source_index", "target_layer", "target_index")]
    values = zip(*columns, graph.edges["weight"].tolist(), graph.edges["abs_weight"].tolist(), share.tolist(),
                 (-np.log(share)).tolist(), strict=True)  # fmt: skip
    for source, i, target, j, weight, mass, part, cost in values:
        found.add_edge((source, i), (target, j), weight=weight, mass=mass, share=part, cost=cost)
    return found


def make_igraph(graph: AttributionGraph) -> Any:
    place = pd.Series(np.arange(len(graph.neurons)), pd.MultiIndex.from_frame(graph.neurons[["layer", "index"]]))
    sources = place.loc[pd.MultiIndex.from_frame(graph.edges[["source_layer", "source_index"]])].to_numpy()
    targets = place.loc[pd.MultiIndex.from_frame(graph.edges[["target_layer", "target_index"]])].to_numpy()
    found = igraph.Graph(len(place), np.column_stack([sources, targets]).tolist(), directed=True)
    found.vs["kind"] = graph.neurons["kind"].tolist()
    total = graph.edges.groupby(["target_layer", "target_index"])["abs_weight"].transform("sum")
    found.es["mass"] = graph.edges["abs_weight"].tolist()
    found.es["share"] = (graph.edges["abs_weight"] / total).tolist()
    found.es["cost"] = (-np.log(graph.edges["abs_weight"] / total)).tolist()
    return found


def nx_difference(of: str) -> Callable[[nx.DiGraph, nx.DiGraph], list[Any]]:
    """By how much a neuron's influence in one graph is above that in another: `of` 'mass' or 'share'."""

    def difference(graph: nx.DiGraph, other: nx.DiGraph) -> list[Any]:
        before = dict(other.out_degree(weight=of))
        return top((node, strength - before[node]) for node, strength in graph.out_degree(weight=of))

    return difference


def ig_difference(of: str) -> Callable[[Any, Any], list[Any]]:
    def difference(graph: Any, other: Any) -> list[Any]:
        strengths = np.subtract(*(np.array(own.strength(mode="out", weights=of)) for own in (graph, other)))
        return top(enumerate(strengths.tolist()))

    return difference


def nx_births(graph: nx.DiGraph, other: nx.DiGraph) -> list[Any]:
    changed = set(graph.edges) ^ set(other.edges)
    masses = ((edge, (graph if graph.has_edge(*edge) else other).edges[edge]["mass"]) for edge in changed)
    return top(masses, 100)


def ig_births(graph: Any, other: Any) -> list[Any]:
    sides = [dict(zip(own.get_edgelist(), own.es["mass"], strict=True)) for own in (graph, other)]
    changed = sides[0].keys() ^ sides[1].keys()
    return top(((edge, sides[0].get(edge) or sides[1][edge]) for edge in changed), 100)


def of_kind(graph: Any, kind: str) -> list[Any]:
    if isinstance(graph, nx.DiGraph):
        return [node for node, found in graph.nodes(data="kind") if found == kind]
    return graph.vs.select(kind=kind).indices


def top(scores: Any, count: int = 20) -> list[Any]:
    return heapq.nlargest(count, scores, key=lambda pair: pair[1])


def nx_to_outputs(graph: nx.DiGraph) -> dict[Any, float]:
    """The sum over a node's paths to the outputs of the products of shares."""
    influence = dict.fromkeys(graph, 0.0)
    outputs = {node: graph.nodes[node]["mass"] for node in of_kind(graph, "output")}
    influence |= {node: mass / sum(outputs.values()) for node, mass in outputs.items()}
    for node in reversed(list(nx.topological_sort(graph))):
        for source, _, share in graph.in_edges(node, data="share"):
            influence[source] += share * influence[node]
    return influence


def nx_path_mass(graph: nx.DiGraph) -> list[Any]:
    from_inputs = {node: 1.0 if kind == "input" else 0.0 for node, kind in graph.nodes(data="kind")}
    for node in nx.topological_sort(graph):
        from_inputs[node] += sum(share * from_inputs[source] for source, _, share in graph.in_edges(node, data="share"))
    return top((node, mass * from_inputs[node]) for node, mass in nx_to_outputs(graph).items())


def nx_greedy(graph: nx.DiGraph, count: int = 100) -> list[Any]:
    inside = set(of_kind(graph, "output"))
    waiting = [(-mass, source, node) for node in inside for source, _, mass in graph.in_edges(node, data="mass")]
    heapq.heapify(waiting)
    taken = []
    while waiting and len(taken) < count:
        _, source, node = heapq.heappop(waiting)
        taken.append((source, node))
        if source not in inside:
            inside.add(source)
            for above, _, mass in graph.in_edges(source, data="mass"):
                heapq.heappush(waiting, (-mass, above, source))
    return taken


def nx_ends(graph: nx.DiGraph, **about: float) -> nx.DiGraph:
    """The graph with a node before all inputs and one after all outputs."""
    longer = graph.copy()
    longer.add_edges_from((("s", node) for node in of_kind(graph, "input")), **about)
    longer.add_edges_from(((node, "t") for node in of_kind(graph, "output")), **about)
    return longer


def ig_ends(graph: Any, **about: Any) -> Any:
    longer = graph.copy()
    source, sink = graph.vcount(), graph.vcount() + 1
    longer.add_vertices(2)
    ends = [(source, node) for node in of_kind(graph, "input")] + [(node, sink) for node in of_kind(graph, "output")]
    longer.add_edges(ends, {name: [value] * len(ends) for name, value in about.items()})
    return longer, source, sink


def nx_pagerank(graph: nx.DiGraph) -> list[Any]:
    outputs = dict.fromkeys(of_kind(graph, "output"), 1.0)
    return top(nx.pagerank(graph.reverse(copy=False), personalization=outputs, weight="mass").items())


def ig_pagerank(graph: Any) -> list[Any]:
    back = graph.copy()
    back.reverse_edges()
    return top(enumerate(back.personalized_pagerank(reset_vertices=of_kind(graph, "output"), weights="mass")))


def ig_betweenness(graph: Any) -> list[float]:
    back = graph.copy()
    back.reverse_edges()
    return back.betweenness(weights="cost", sources=of_kind(graph, "output"), targets=of_kind(graph, "input"))


def ig_paths(graph: Any) -> Any:
    longer, source, sink = ig_ends(graph, cost=0.0)
    return longer.get_k_shortest_paths(source, sink, k=10, weights="cost")


def ig_cut(graph: Any) -> Any:
    longer, source, sink = ig_ends(graph, mass=1e9)
    return longer.mincut(source, sink, capacity="mass").cut


def strongest(graph: nx.DiGraph, count: int = 100) -> list[Any]:
    return heapq.nlargest(count, graph.edges(data="mass"), key=lambda edge: edge[2])


NETWORKX: dict[str, Callable[[nx.DiGraph], Any]] = {
    "top_influential_neurons": lambda graph: top(graph.out_degree(weight="mass")),
    "neuron_influence": lambda graph: dict(graph.out_degree(weight="mass")),
    "neuron_flow": lambda graph: top(
        (n, min(d, graph.in_degree(n, "mass"))) for n, d in graph.out_degree(weight="mass")
    ),
    "central_neurons": lambda graph: top(graph.out_degree(weight="share"), len(graph)),
    "personalised_pagerank": nx_pagerank,
    "personalised_pagerank_gds": nx_pagerank,
    "betweenness": lambda graph: nx.betweenness_centrality_subset(  # from the outputs, which are fewer
        graph.reverse(copy=False), of_kind(graph, "output"), of_kind(graph, "input"), weight="cost"
    ),
    "strongest_paths": lambda graph: list(
        itertools.islice(nx.shortest_simple_paths(nx_ends(graph, cost=0.0), "s", "t", "cost"), 10)
    ),
    "heaviest_paths": lambda graph: nx.dag_longest_path(graph, weight="mass"),
    "path_mass": nx_path_mass,
    "top_edges": strongest,
    "greedy_edges": nx_greedy,
    "communities": lambda graph: nx.community.louvain_communities(graph.to_undirected(), weight="share", seed=0),
    "communities_gds": lambda graph: nx.community.louvain_communities(graph.to_undirected(), weight="share", seed=0),
    "k_core": nx.core_number,
    "k_core_gds": nx.core_number,
    "minimum_cut": lambda graph: nx.minimum_cut(nx_ends(graph), "s", "t", capacity="mass"),
    "graph_edges": lambda graph: sorted(graph.edges(data="mass")),
}
NETWORKX["strongest_paths_gds"] = NETWORKX["strongest_paths"]
IGRAPH: dict[str, Callable[[Any], Any]] = {
    "top_influential_neurons": lambda graph: top(enumerate(graph.strength(mode="out", weights="mass"))),
    "neuron_influence": lambda graph: graph.strength(mode="out", weights="mass"),
    "central_neurons": lambda graph: sorted(graph.strength(mode="out", weights="share")),
    "personalised_pagerank": ig_pagerank,
    "personalised_pagerank_gds": ig_pagerank,
    "betweenness": ig_betweenness,
    "strongest_paths": ig_paths,
    "strongest_paths_gds": ig_paths,
    "top_edges": lambda graph: heapq.nlargest(100, zip(graph.es["mass"], range(graph.ecount()), strict=True)),
    "communities": lambda graph: graph.as_undirected(combine_edges="sum").community_multilevel(weights="share"),
    "communities_gds": lambda graph: graph.as_undirected(combine_edges="sum").community_leiden(
        objective_function="modularity", weights="share", n_iterations=-1
    ),
    "k_core": lambda graph: graph.coreness(),
    "k_core_gds": lambda graph: graph.coreness(),
    "minimum_cut": ig_cut,
}


# What is asked of two graphs: the last epoch's and the one before, or those of two classes, or of two runs.
DIFFERENCES = (
    "growing_neurons",
    "growth_since_epoch",
    "class_specific_neurons",
    "stage_against_stage",
    "run_against_run",
)
NETWORKX_PAIRS = dict.fromkeys(DIFFERENCES, nx_difference("mass")) | {"edge_births_and_deaths": nx_births}
IGRAPH_PAIRS = dict.fromkeys(DIFFERENCES, ig_difference("mass")) | {"edge_births_and_deaths": ig_births}


def save_run(store: GraphStore, edge_count: int, is_alone: bool) -> dict[str, Any]:
    """The graphs of a size, or the one that is asked alone; what the queries are asked with."""
    for run in (RUN, OTHER_RUN):
        store.save_run(run, "benchmark_queries", seed=0, config_hash="c", code_version="v")
    store.save_stage(RUN, 1, "full", trained_weights=1000)
    store.save_stage(RUN, 2, "targeted", trained_weights=100)
    whole = {"run_id": RUN, "edge_mass": 1.0, "accuracy": 0.5}
    graph_id = store.save(make_graph(edge_count, 1, "label"), stage=2, epoch=1, **whole).graph_id
    known = {"graph_id": graph_id, "run_id": RUN, "layer": "fc1", "index": 0, "stage_id": f"{RUN}/stage_2",
             "experiment": "benchmark_queries"}  # fmt: skip
    table = store.query("strongest_paths", graph_id=graph_id, top_k=100)
    known["circuit_id"] = store.save_circuit(graph_id, "strongest_paths", {}, table)
    store.save_evidence(known["circuit_id"], {"faithfulness": 0.9, "size": 0.01, "ablation": "mean"})
    neurons = NeuronSet({"fc1": tuple(range(16))}, "random", 0.5)
    known["neuron_set_id"] = store.save_neuron_set([known["circuit_id"]], neurons, run_id=RUN)
    store.save_training(RUN, 2, known["neuron_set_id"])
    if is_alone:
        return known
    store.save(make_graph(edge_count, 0, "label"), stage=1, epoch=0, **whole)
    for label in (0, 1):
        store.save(make_graph(edge_count, label, f"class:{label}"), stage=2, epoch=1, **whole)
    store.save(make_graph(edge_count, 2, "label", "gradient_times_activation"), stage=2, epoch=1, **whole)
    other = make_graph(edge_count, 3, "label")
    known["other_graph_id"] = store.save(other, stage=2, epoch=1, **{**whole, "run_id": OTHER_RUN}).graph_id
    store.save_circuit(known["other_graph_id"], "strongest_paths", {}, table)
    hidden = other.neurons[other.neurons["kind"] == "unit"]
    pairs = hidden[["layer", "index"]].assign(other_index=hidden["index"], correlation=0.5)
    store.save_matches(RUN, OTHER_RUN, pairs)
    return known


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(
    ways: dict[str, Callable[[], Any]], rounds: int, slow: set[tuple[str, str]], name: str
) -> dict[str, float | None]:
    """Median seconds of each way, in turn; the one call that warms up counts where it takes long."""
    times: dict[str, list[float]] = {way: [] for way in ways if (name, way) not in slow}
    for way in list(times):
        try:
            first = seconds(ways[way])
        except AttrGraphError as error:  # the server's memory, mostly
            print(f"{name}: {error}", file=sys.stderr)
            del times[way]
            continue
        if first > LIMIT:
            slow.add((name, way))
        if first > LIMIT / 3:
            times[way].append(first)
    quick = [way for way, found in times.items() if not found]
    for _ in range(rounds):
        for way in quick:
            times[way].append(seconds(ways[way]))
    return {way: statistics.median(found) if found else None for way, found in times.items()}


def shown(value: float | None, more: float = 0.0) -> str:
    return "" if value is None else f"{1000 * (value + more):,.0f}" if value + more >= 0.01 else f"{1000 * value:.1f}"


def benchmark(
    store: GraphStore, edge_count: int, rounds: int, slow: set[tuple[str, str]], only: list[str], is_alone: bool
) -> None:
    known = save_run(store, edge_count, is_alone)
    read = min(seconds(lambda: store.graph(known["graph_id"])) for _ in range(2))
    graph, before = store.graph(known["graph_id"]), make_graph(edge_count, 0, "label")
    names = [name for name in only or query_names() if is_askable(name, known)]
    has_pairs = any(name in NETWORKX_PAIRS for name in names)
    makers = {"networkx": make_networkx} | ({"igraph": make_igraph} if igraph else {})
    built: dict[str, list[Any]] = {}
    reading: dict[str, float] = {}
    for library, make in makers.items():
        started = time.perf_counter()
        built[library] = [make(graph)]
        reading[library] = read + time.perf_counter() - started
        built[library] += [make(before)] if has_pairs else []
    print(f"\n### {len(graph.edges):,} edges, {len(graph.neurons):,} neurons\n")
    print(f"Reading takes {read:.2f} s, " + ", ".join(f"with {way}'s graph {s:.2f} s" for way, s in reading.items()))
    print("\n| query | store | NetworkX | with reading | igraph | with reading |\n|---|---|---|---|---|---|")
    for name in names:
        needed = asked_with(name, known)
        ways: dict[str, Callable[[], Any]] = {"store": lambda name=name, needed=needed: store.query(name, **needed)}
        for library, single, pairs in (("networkx", NETWORKX, NETWORKX_PAIRS), ("igraph", IGRAPH, IGRAPH_PAIRS)):
            if library in built and name in pairs:
                ways[library] = functools.partial(pairs[name], *built[library])
            elif library in built and name in single:
                ways[library] = functools.partial(single[name], built[library][0])
        found = measure(ways, rounds, slow, name)
        cells = [shown(found.get("store"))]
        for library in ("networkx", "igraph"):
            graphs = 2 if name in NETWORKX_PAIRS else 1
            cells += [shown(found.get(library)), shown(found.get(library), graphs * reading.get(library, 0.0))]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def asked_with(name: str, known: dict[str, Any]) -> dict[str, Any]:
    return {
        parameter: known.get(parameter) for parameter, about in load_query(name).params.items() if about.is_required
    }


def is_askable(name: str, known: dict[str, Any]) -> bool:
    return None not in asked_with(name, known).values()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, nargs="+", default=[5, 3, 1], help="of each size; the last for the rest")
    parser.add_argument("--only", nargs="*", default=[], help="these queries, in this order")
    parser.add_argument("--alone", action="store_true", help="save one graph")
    arguments = parser.parse_args()
    slow: set[tuple[str, str]] = set()
    with GraphStore.open() as store:
        for edge_count, rounds in itertools.zip_longest(
            arguments.edges, arguments.rounds[: len(arguments.edges)], fillvalue=arguments.rounds[-1]
        ):
            delete_runs(store)
            try:
                benchmark(store, edge_count, rounds, slow, arguments.only, arguments.alone)
            finally:
                delete_runs(store)


def delete_runs(store: GraphStore) -> None:
    for run in {RUN, OTHER_RUN} & set(store.runs()["run_id"]):
        store.delete_run(run)


if __name__ == "__main__":
    main()
