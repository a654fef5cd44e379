"""Which methods and which queries find a circuit that is known by construction.

    python benchmarks/ground_truth.py [--json FILE]

Networks are those of `tests/known_circuits.py`: gates, backups, a hand-built network, a planted one, a trained parity.
Every edge of a network gets a score; the figure is the area under the ROC curve of the circuit's edges against all
others: 1 is a perfect order, .5 none. A method scores by |weight|; the queries score the graph of one, DeepLIFT:
by share, by circuit-tracer's influence, by the step at which the greedy rule takes an edge, by the minimum cut, by core
number, by the strongest and the widest path through it. `ablation` is the exact effect of deleting an edge: the truth
about single edges, which is not the truth about circuits.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from attrgraph_core import AttributionGraph, attribute
from attrgraph_core.attribution.methods import EDGE_METHODS
from attrgraph_core.circuits.circuit import Circuit, Edge
from attrgraph_core.circuits.communities import core_numbers
from attrgraph_core.circuits.flow import flow_of
from attrgraph_core.circuits.greedy import greedy_edges
from attrgraph_core.circuits.minimum_cut import minimum_cut
from attrgraph_core.circuits.path_mass import path_mass
from attrgraph_core.circuits.pruning import pruned_edges
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


def by_share(graph: AttributionGraph) -> Scores:
    flow = flow_of(graph)
    return _named(flow.edges, flow.share)


def by_influence(graph: AttributionGraph) -> Scores:
    table = pruned_edges(graph, 1.0, 1.0)
    return _named(table, table["influence"])


def by_greedy_step(graph: AttributionGraph) -> Scores:
    table = greedy_edges(graph, edge_count=len(graph.edges), connected=False)
    return _named(table, 1 / table["step"])


def by_minimum_cut(graph: AttributionGraph) -> Scores:
    table = minimum_cut(graph)
    return _named(table, np.ones(len(table)))


def by_core(graph: AttributionGraph) -> Scores:
    table = core_numbers(graph)
    core = dict(zip(table[["layer", "index"]].itertuples(index=False, name=None), table["core"], strict=True))
    edges = graph.edges[graph.edges["abs_weight"] > 0]
    return _named(edges, [min(core[row[:2]], core[row[2:]]) for row in edges[ENDS].itertuples(index=False, name=None)])


def by_path_mass(graph: AttributionGraph) -> Scores:
    """All paths through an edge: from the inputs to its source, its share, and on to the outputs."""
    flow, table = flow_of(graph), path_mass(graph)
    before, after = table["from_inputs"].to_numpy(), table["to_outputs"].to_numpy()
    return _named(flow.edges, before[flow.sources] * flow.share * after[flow.targets])


def by_path(graph: AttributionGraph, join: Callable[[float, float], float], column: str) -> Scores:
    """The best path through each edge: by the product of shares, or the narrowest |weight|."""
    flow = flow_of(graph)
    values = flow.share if column == "share" else flow.edges[column].to_numpy()
    before = np.where(flow.of_kind("input"), 1.0 if column == "share" else np.inf, 0.0)
    after = np.where(flow.of_kind("output"), 1.0 if column == "share" else np.inf, 0.0)
    edges = list(zip(flow.sources, flow.targets, map(float, values), strict=True))  # in the order of their targets
    for source, target, value in edges:
        before[target] = max(before[target], join(float(before[source]), value))
    for source, target, value in reversed(edges):
        after[source] = max(after[source], join(value, float(after[target])))
    return _named(flow.edges, [join(join(before[i], value), after[j]) for i, j, value in edges])


QUERIES: dict[str, Callable[[AttributionGraph], Scores]] = {
    "top_edges, by share": by_share,
    "pruned_edges": by_influence,
    "greedy_edges": by_greedy_step,
    "minimum_cut": by_minimum_cut,
    "k_core": by_core,
    "strongest_paths": lambda graph: by_path(graph, lambda a, b: a * b, "share"),
    "widest_paths": lambda graph: by_path(graph, min, "abs_weight"),
    "path_mass": by_path_mass,
}


def by_ablation(known: KnownCircuit, kind: str = "zero") -> Scores:
    ablation = CircuitAblation(known.network, known.inputs, known.target, kind=kind)
    edges = sorted(known.asked)
    lost = [float((ablation.whole - ablation.without(Circuit((), (edge,)))).abs().mean()) for edge in edges]
    return dict(zip(edges, lost, strict=True))


def area(known: KnownCircuit, scores: Scores) -> float:
    """Area under the ROC curve, over the asked edges; an edge without a score has 0."""
    asked = sorted(known.asked)
    return float(roc_auc_score([edge in known.edges for edge in asked], [scores.get(edge, 0.0) for edge in asked]))


def table() -> dict[str, dict[str, float]]:
    """Areas by network, then by method or query."""
    found: dict[str, dict[str, float]] = {}
    for name, make in KNOWN_CIRCUITS.items():
        known = make()
        row = {method: area(known, by_weight(graph_of(known, method))) for method in EDGE_METHODS}
        graph = graph_of(known)
        row |= {query: area(known, score(graph)) for query, score in QUERIES.items()}
        row |= {f"ablation, {kind}": area(known, by_ablation(known, kind)) for kind in ("zero", "mean")}
        found[name] = row
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the table to this file, too")
    arguments = parser.parse_args()
    found = table()
    print("| | " + " | ".join(found) + " |\n|" + "---|" * (len(found) + 1))
    for column in next(iter(found.values())):
        print(f"| {column} | " + " | ".join(f"{row[column]:.2f}" for row in found.values()) + " |")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
