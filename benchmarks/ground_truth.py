"""Which methods and which queries find a circuit that is known by construction.

    python benchmarks/ground_truth.py [--json FILE]

Networks are those of `tests/known_circuits.py`: gates, backups, a hand-built network, a planted one, a trained parity.
Every edge of a network gets a score; the figure is the area under the ROC curve of the circuit's edges against all
others: 1 is a perfect order, .5 none. A method scores by |weight|. The queries are asked of the graph of one, DeepLIFT,
in Neo4j (that of NEO4J_URI, or the embedded server): one that returns edges scores by what ranks them, or 1 for each;
one that returns paths by the best path through an edge; one that returns neurons by the lesser of an edge's two ends,
where a layer whose neurons all score the same says nothing. `ablation` is the exact effect of deleting an edge: the
truth about single edges, which is not the truth about circuits.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from attrgraph_core import AttributionGraph, GraphStore, attribute
from attrgraph_core.attribution.methods import EDGE_METHODS
from attrgraph_core.circuits.circuit import Circuit, Edge
from attrgraph_core.evidence.circuit_ablation import CircuitAblation
from tests.known_circuits import KNOWN_CIRCUITS, KnownCircuit

ENDS = ["source_layer", "source_index", "target_layer", "target_index"]
Scores = dict[Edge, float]


def graph_of(known: KnownCircuit, method: str = "deeplift") -> AttributionGraph:
    zeros = torch.zeros_like(known.inputs[:2])  # two, as some ask for a background of several
    return attribute(known.network, known.inputs, known.target, method=method, baseline=zeros)


def _named(table, values) -> Scores:
    return dict(zip(table[ENDS].itertuples(index=False, name=None), map(float, values), strict=True))


def by_weight(graph: AttributionGraph) -> Scores:
    return _named(graph.edges, graph.edges["abs_weight"])


@dataclass(frozen=True)
class Asked:
    """A query, what it is asked with (`ALL` for everything there is), and the column that scores."""

    query: str
    parameters: dict[str, Any]
    column: str


ALL = {"top_k": 100_000}
PATHS = {"top_k": 2_000, "beam_width": 2_000}
QUERIES = {
    "top_edges, by weight": Asked("top_edges", ALL, "abs_weight"),
    "top_edges, by share": Asked("top_edges", {**ALL, "by": "share"}, "share"),
    "pruned_edges": Asked("pruned_edges", {"node_threshold": 1.0, "edge_threshold": 1.0}, "influence"),
    "greedy_edges": Asked("greedy_edges", {"edge_count": 100_000, "connected": False}, "step"),
    "minimum_cut": Asked("minimum_cut", {}, ""),
    "strongest_paths": Asked("strongest_paths", PATHS, "strength"),
    "strongest_paths_gds": Asked("strongest_paths_gds", {"top_k": 2_000}, "strength"),
    "widest_paths": Asked("widest_paths", PATHS, "strength"),
    "heaviest_paths": Asked("heaviest_paths", PATHS, "strength"),
    "path_mass": Asked("path_mass", ALL, "influence"),
    "neuron_flow": Asked("neuron_flow", ALL, "influence"),
    "top_influential_neurons": Asked("top_influential_neurons", ALL, "influence"),
    "supporting_and_inhibiting_neurons": Asked("supporting_and_inhibiting_neurons", ALL, "influence"),
    "central_neurons": Asked("central_neurons", {}, "influence"),
    "personalised_pagerank": Asked("personalised_pagerank", ALL, "influence"),
    "personalised_pagerank_gds": Asked("personalised_pagerank_gds", ALL, "influence"),
    "summit_neurons": Asked("summit_neurons", {"layer_mass": 1.0}, "influence"),
    "betweenness": Asked("betweenness", ALL, "influence"),
    "pruned_neurons": Asked("pruned_neurons", {"node_threshold": 1.0, "edge_threshold": 1.0}, "influence"),
    "k_core": Asked("k_core", {"k": 0}, "core"),
    "k_core_gds": Asked("k_core_gds", {"k": 0}, "core"),
    "communities": Asked("communities", {}, "community"),
    "communities_gds": Asked("communities_gds", {}, "community"),
}


def by_query(store: GraphStore, graph: AttributionGraph, graph_id: str, asked: Asked) -> Scores:
    """What a query's answer says of each edge of a stored graph."""
    table = store.query(asked.query, graph_id=graph_id, **asked.parameters)
    if set(ENDS) <= set(table):
        values = np.ones(len(table)) if not asked.column else table[asked.column]
        return _named(table, 1 / values if asked.column == "step" else values)
    if "neurons" in table:
        return by_best_path(table, asked.column)
    scores = dict(zip(table[["layer", "index"]].itertuples(index=False, name=None), table[asked.column], strict=True))
    edges = list(graph.edges[graph.edges["abs_weight"] > 0][ENDS].itertuples(index=False, name=None))
    if asked.column == "community":
        of_outputs = {scores.get(edge[2:]) for edge in edges if edge[2] == graph.neurons["layer"].iloc[-1]}
        return {edge: float({scores[edge[:2]], scores[edge[2:]]} <= of_outputs) for edge in edges}
    return by_lesser_end(graph, scores, edges)


def by_best_path(table: pd.DataFrame, column: str) -> Scores:
    scores: Scores = {}
    for names, value in zip(table["neurons"], table[column], strict=True):
        ends = [(layer, int(index)) for layer, _, index in (name.rpartition("/") for name in names)]
        for source, target in pairwise(ends):
            scores[(*source, *target)] = max(scores.get((*source, *target), 0.0), value)
    return scores


def by_lesser_end(graph: AttributionGraph, scores: dict[Any, float], edges: list[Edge]) -> Scores:
    silent = {
        layer
        for layer, rows in graph.neurons.groupby("layer")["index"]
        if len({scores.get((layer, index), 0.0) for index in rows}) == 1
    }

    def of_end(end: Any) -> float:
        return np.inf if end[0] in silent else scores.get(end, 0.0)

    found = {edge: min(of_end(edge[:2]), of_end(edge[2:])) for edge in edges}
    return {edge: 0.0 if value == np.inf else float(value) for edge, value in found.items()}


def by_ablation(known: KnownCircuit, kind: str = "zero") -> Scores:
    ablation = CircuitAblation(known.network, known.inputs, known.target, kind=kind)
    edges = sorted(known.asked)
    lost = [float((ablation.whole - ablation.without(Circuit((), (edge,)))).abs().mean()) for edge in edges]
    return dict(zip(edges, lost, strict=True))


def area(known: KnownCircuit, scores: Scores) -> float:
    """Area under the ROC curve, over the asked edges; an edge without a score has 0.

    Scores that differ by rounding alone, in the tenth digit of the largest, are equal: another processor orders them
    otherwise.
    """
    asked = sorted(known.asked)
    values = np.array([scores.get(edge, 0.0) for edge in asked])
    values = np.round(values / (np.abs(values).max() or 1.0), 9)
    return float(roc_auc_score([edge in known.edges for edge in asked], values))


def query_areas(store: GraphStore, known: KnownCircuit, queries: Iterable[str] = tuple(QUERIES)) -> dict[str, float]:
    """The area of each query, asked of the network's graph by DeepLIFT, which is stored for as long as that takes."""
    graph, run_id = graph_of(known), f"ground-truth-{known.name}"
    try:
        saved = store.save(graph, run_id=run_id, stage=1, epoch=0, edge_mass=1.0, max_edges_per_neuron=1_000)
        return {name: area(known, by_query(store, graph, saved.graph_id, QUERIES[name])) for name in queries}
    finally:
        store.delete_run(run_id)


def table(store: GraphStore) -> dict[str, dict[str, float]]:
    """Areas by network, then by method or query."""
    found: dict[str, dict[str, float]] = {}
    for name, make in KNOWN_CIRCUITS.items():
        known = make()
        row = {method: area(known, by_weight(graph_of(known, method))) for method in EDGE_METHODS}
        row |= query_areas(store, known)
        row |= {f"ablation, {kind}": area(known, by_ablation(known, kind)) for kind in ("zero", "mean")}
        found[name] = row
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the table to this file, too")
    arguments = parser.parse_args()
    with GraphStore.open() as store:
        found = table(store)
    print("| | " + " | ".join(found) + " |\n|" + "---|" * (len(found) + 1))
    for column in next(iter(found.values())):
        print(f"| {column} | " + " | ".join(f"{row[column]:.2f}" for row in found.values()) + " |")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
