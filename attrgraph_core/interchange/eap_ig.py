"""EAP-IG's graphs of a transformer, JSON (Hanna et al., 2024; `Graph.to_json` of hannamw/EAP-IG).

`cfg` with n_layers, n_heads, d_model and parallel_attn_mlp; `nodes` input, a<layer>.h<head>, m<layer> and logits, each
with `in_graph` and perhaps a `score`; `edges` named parent->child, into a head with <q>, <k> or <v>, with `score` and
`in_graph`.

Read, the layers are input, `a<layer>` (index is the head), `m<layer>` and logits. The three edges into a head are one,
with the sum of their scores and of their absolute values. A graph of another network cannot be written: the format has
no place for it, and one that was read comes back with a third of an edge's score on each of q, k and v.
"""

import json
import re
from pathlib import Path
from typing import Any

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.interchange.json_fields import Field, read_json
from attrgraph_core.interchange.tables import EdgeRow, NeuronRow, edge_rows, graph_of_rows, neuron_rows

_NODE = re.compile(r"input|logits|m\d+|a\d+\.h\d+")
_EDGE = re.compile(r"(.+)->([^<]+)(?:<([qkv])>)?")


def read_eap_ig(path: Path, circuit_only: bool = False) -> AttributionGraph:
    """The graph of a file, or with `circuit_only` what is `in_graph`; its target is `label`."""
    content = read_json(path)
    layers, heads = (content["cfg"][name].whole() for name in ("n_layers", "n_heads"))
    if layers < 1 or heads < 1:
        raise content["cfg"].error("has no layers or no heads")
    scores = {name: _score(name, node) for name, node in content["nodes"].fields()}
    neurons = sorted((_neuron(name, score) for name, score in scores.items()), key=lambda row: _order(row[0], layers))
    summed: dict[tuple[str, str], tuple[float, float]] = {}
    for name, edge in content["edges"].fields():
        if circuit_only and not edge["in_graph"].value:
            continue
        source, target = _ends(name, edge, scores)
        weight, absolute = summed.get((source, target), (0.0, 0.0))
        score = edge["score"].number()
        summed[source, target] = (weight + score, absolute + abs(score))
    edges: list[EdgeRow] = [(*_place(source), *_place(target), *both) for (source, target), both in summed.items()]
    return graph_of_rows(neurons, edges, method="eap_ig", target="label")


def _score(name: str, node: Field) -> float:
    if not _NODE.fullmatch(name):
        raise node.error("is no node input, logits, m<layer> or a<layer>.h<head>")
    score = node.get("score", 0.0)
    return 0.0 if score.value != score.value else score.number()  # NaN stands for no score


def _place(name: str) -> tuple[str, int]:
    layer, _, head = name.partition(".h")
    return layer, int(head or 0)


def _neuron(name: str, score: float) -> NeuronRow:
    layer, index = _place(name)
    kind = {"input": "input", "logits": "output"}.get(name, "head" if layer.startswith("a") else "unit")
    return (layer, index, kind, score, abs(score))


def _order(layer: str, layers: int) -> float:
    if layer in ("input", "logits"):
        return -1.0 if layer == "input" else 2.0 * layers
    return 2.0 * int(layer[1:]) + (layer[0] == "m")


def _ends(name: str, edge: Field, known: dict[str, float]) -> tuple[str, str]:
    found = _EDGE.fullmatch(name)
    if found is None or found[1] not in known or found[2] not in known:
        raise edge.error("joins no two nodes of the file; an edge is called <node>-><node>, or <node>-><head><q>")
    return found[1], found[2]


def write_eap_ig(graph: AttributionGraph, path: Path) -> None:
    """Write a graph that has EAP-IG's nodes. Raises AttrGraphError for any other."""
    rows = neuron_rows(graph)
    names = {row[:2]: _name(row) for row in rows}
    layers = 1 + max((int(row[0][1:]) for row in rows if row[2] != "input" and row[2] != "output"), default=0)
    heads = 1 + max((row[1] for row in rows if row[0].startswith("a")), default=0)
    nodes: dict[str, Any] = {names[row[:2]]: {"in_graph": True, "score": row[3]} for row in rows}
    edges: dict[str, Any] = {}
    for source_layer, source, target_layer, target, weight, _ in edge_rows(graph):
        name = f"{names[source_layer, source]}->{names[target_layer, target]}"
        parts = [f"{name}<{part}>" for part in "qkv"] if target_layer.startswith("a") else [name]
        edges |= {part: {"score": weight / len(parts), "in_graph": True} for part in parts}
    # Its width is not in a graph of heads and layers; what reads the file asks for one.
    cfg = {"n_layers": layers, "n_heads": heads, "parallel_attn_mlp": False, "d_model": 0}
    path.write_text(json.dumps({"cfg": cfg, "nodes": nodes, "edges": edges}), encoding="utf-8")


def _name(row: NeuronRow) -> str:
    name = f"{row[0]}.h{row[1]}" if row[2] == "head" else row[0]
    if not _NODE.fullmatch(name) or (row[2] != "head" and row[1]):
        raise AttrGraphError(
            f"neuron {row[0]}/{row[1]} has no place in EAP-IG's format, whose nodes are input, a<layer>.h<head>, "
            "m<layer> and logits; export it as graphml or parquet"
        )
    return name
