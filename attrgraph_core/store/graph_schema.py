"""What the graph is made of: the one definition that docs/graph.md is generated from and that a server is held to.

`python -m attrgraph_core.store.graph_schema docs/graph.md` writes the picture and the tables anew.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- generated from attrgraph_core/store/graph_schema.py -->", "<!-- end of what is generated -->"

TEXT, INTEGER, FLOAT, BOOLEAN, TIME, TEXTS = "String", "Long", "Double", "Boolean", "DateTime", "StringArray"


@dataclass(frozen=True)
class Property:
    """A property of nodes or relationships. `type` is the server's word for it; `is_optional`: not all have it."""

    type: str
    is_optional: bool = False


@dataclass(frozen=True)
class Node:
    """A kind of node, by its label."""

    meaning: str
    properties: dict[str, Property]


@dataclass(frozen=True)
class Relationship:
    """A kind of relationship between two kinds of node."""

    source: str
    kind: str
    target: str
    meaning: str


def _properties(required: str, optional: str = "") -> dict[str, Property]:
    """Properties from `name: type` pairs, separated by commas."""
    found = {}
    for text, is_optional in ((required, False), (optional, True)):
        for pair in filter(None, re.split(r",\s*", text.strip())):
            name, type_name = pair.split(": ")
            found[name] = Property(type_name, is_optional)
    return found


NODES = {
    "Experiment": Node("an experiment file", _properties("name: String")),
    "Run": Node(
        "an experiment with one seed; `status` is `running`, `complete`, `failed`, `deleting`, `importing`, or "
        "`unknown` of a run of which only graphs were saved; `name`, `tags` and `note` are people's; `dagster_run_id` "
        "is Dagster's run that made it last",
        _properties(
            "run_id: String, status: String, started_at: DateTime",
            "seed: Long, config_hash: String, configuration: String, code_version: String, finished_at: DateTime, "
            "linked_at: DateTime, dagster_run_id: String, name: String, tags: StringArray, note: String",
        ),
    ),
    "Stage": Node(
        "a stage from 1 on; `kind` is `full`, `targeted` or another of `STAGE_KINDS`",
        _properties(
            "stage_id: String, position: Long, kind: String",
            "trained_neurons: Long, trained_weights: Long, seconds: Double, dagster_run_id: String",
        ),
    ),
    "Snapshot": Node(
        "the network at the end of an epoch; epoch 0 is before any step, kept of stage 1; `pruned_at` where retention "
        "deleted its graphs",
        _properties("snapshot_id: String, epoch: Long", "loss: Double, accuracy: Double, pruned_at: DateTime"),
    ),
    "AttributionGraph": Node(
        "neurons and edges of one snapshot, for one method and target (`label`, the true class, or `class:<c>`); "
        "`edge_count` of `total_edge_count` edges are stored and hold `kept_mass` of the influence; `writer` while "
        "somebody writes; `imported_from` is the name of the file that `attrgraph graph import` read",
        _properties(
            "graph_id: String, run_id: String, method: String, target: String, sample_count: Long, "
            "completeness_delta: Double, layers: StringArray, edge_mass: Double, max_edges_per_neuron: Long, "
            "kept_mass: Double, total_edge_count: Long, status: String, written_at: DateTime",
            "baseline: String, node_count: Long, edge_count: Long, content_hash: String, writer: String, "
            "imported_from: String",
        ),
    ),
    "NeuronState": Node(
        "a neuron in one graph; the totals are sums of `abs_weight` over all edges, stored or not, `kept_in` over the "
        "stored ones",
        _properties(
            "graph_id: String, layer: String, index: Long, kind: String, attribution: Double, "
            "abs_attribution: Double, total_in: Double, kept_in: Double, total_out: Double"
        ),
    ),
    "Neuron": Node(
        "a neuron of a run; `kind` is `input`, `unit`, `channel`, `head`, `sum`, `product` or `output`",
        _properties("run_id: String, layer: String, index: Long, kind: String"),
    ),
    "Circuit": Node(
        "what a query found in a graph; stale once the graph is written anew; with its evidence, once it is measured "
        "([circuits](circuits.md))",
        _properties(
            "circuit_id: String, graph_id: String, query: String, query_hash: String, parameters: String, "
            "result_hash: String, is_stale: Boolean",
            "ablation: String, sample_count: Long, part_count: Long, size: Double, faithfulness: Double, "
            "faithfulness_low: Double, faithfulness_high: Double, completeness: Double, minimality: Double, "
            "random_faithfulness: Double, random_deviation: Double, random_draws: Long, curve: DoubleArray, "
            "cpr: Double, cmd: Double, "
            "edge_correlation: Double, edge_rank_correlation: Double, sample_stability: Double, seed_stability: Double",
        ),
    ),
    "NeuronSet": Node(
        "the neurons that a policy chose from circuits; `scoring_flops` is what its scores took",
        _properties(
            "neuron_set_id: String, run_id: String, set_hash: String, policy: String, budget: Double, size: Long",
            "scoring_flops: Long",
        ),
    ),
    "SchemaVersion": Node(
        "a file of `cypher/schema/` that was applied",
        _properties("version: Long, name: String, hash: String, applied_at: DateTime"),
    ),
}

RELATIONSHIPS = (
    Relationship("Experiment", "HAS_RUN", "Run", "its runs"),
    Relationship("Run", "HAS_STAGE", "Stage", "its stages"),
    Relationship("Stage", "HAS_SNAPSHOT", "Snapshot", "its epochs"),
    Relationship("Snapshot", "NEXT", "Snapshot", "the order of stages and epochs"),
    Relationship("Snapshot", "HAS_GRAPH", "AttributionGraph", "its graphs, one a target"),
    Relationship("AttributionGraph", "HAS_STATE", "NeuronState", "its neurons"),
    Relationship("NeuronState", "INFLUENCES", "NeuronState", "the attribution graph itself"),
    Relationship("NeuronState", "STATE_OF", "Neuron", "one neuron through time"),
    Relationship("Neuron", "MATCHES", "Neuron", "its likest in another run"),
    Relationship("Circuit", "FOUND_IN", "AttributionGraph", "the graph that was asked"),
    Relationship("Circuit", "CONTAINS", "NeuronState", "the neurons found"),
    Relationship("Circuit", "YIELDS", "NeuronSet", "what was chosen from it"),
    Relationship("NeuronSet", "SELECTS", "Neuron", "the neurons chosen"),
    Relationship("Stage", "TRAINS", "NeuronSet", "the neurons that the stage trains, and no others"),
)
RELATIONSHIP_PROPERTIES = {
    "INFLUENCES": _properties("weight: Double, abs_weight: Double"),
    "MATCHES": _properties("correlation: Double"),
}


def picture() -> str:
    """The kinds of node and what joins them, as a Mermaid flow chart."""
    lines = [f"  {r.source} -->|{r.kind}| {r.target}" for r in RELATIONSHIPS]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def tables() -> str:
    """Nodes with their properties, then relationships, as Markdown; what not all nodes have is in italics."""
    lines = ["| label | properties | is |", "|---|---|---|"]
    for label, node in NODES.items():
        names = ", ".join(f"*`{name}`*" if p.is_optional else f"`{name}`" for name, p in node.properties.items())
        lines.append(f"| `{label}` | {names} | {node.meaning} |")
    lines += ["", "| from | relationship | to | is |", "|---|---|---|---|"]
    lines += [f"| `{r.source}` | `{r.kind}` | `{r.target}` | {r.meaning} |" for r in RELATIONSHIPS]
    return "\n".join(lines)


def generated() -> str:
    """What docs/graph.md holds between its two marks."""
    return f"{BEGIN}\n\n{picture()}\n\n{tables()}\n\n{END}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(before + generated() + rest.partition(END)[2], encoding="utf-8")
