"""Graphs of circuit-tracer and Neuronpedia, JSON of schema version 1 (`frontend/graph_models.py` of circuit-tracer).

`metadata`, `qParams`, `nodes` and `links`. A node's `node_id` is `<layer>_<feature>_<position>`; its layer is E for
tokens, a number for features and errors, and one more than the last for logits. A link has its ends' ids and a signed
weight, the direct effect of source on target.

Read, nodes of one layer and position are a layer `<layer>@<position>` (`E@3`, `12@3`, `12.error@3`), in which the index
is the feature's. Written, every neuron is a node of one position.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.interchange.json_fields import Field, read_json
from attrgraph_core.interchange.tables import EdgeRow, NeuronRow, edge_rows, graph_of_rows, neuron_rows

SCHEMA_VERSION = 1
KINDS = {"embedding": "input", "logit": "output"}  # by feature_type; an error node has no cause in the graph, either
ERROR = "mlp reconstruction error"


def read_circuit_tracer(path: Path) -> AttributionGraph:
    """The graph of a file; its target is that of the metadata where we wrote it, else `label`."""
    content = read_json(path)
    version = content["metadata"].get("schema_version", SCHEMA_VERSION)
    if version.whole() != SCHEMA_VERSION:
        raise version.error(f"is {version.value}; schema version {SCHEMA_VERSION} is known")
    own = content["metadata"].get("attrgraph", {})
    names = own.get("layers", {}).mapping()
    neurons: dict[str, NeuronRow] = {}
    for node in content["nodes"].items():
        node_id = node["node_id"].text()
        if node_id in neurons:
            raise node["node_id"].error(f"is {node_id!r}, which another node has, too")
        neurons[node_id] = _neuron(node, names)
    edges = [_edge(link, neurons) for link in content["links"].items()]
    in_order = sorted(neurons.values(), key=lambda row: _order(row[0], list(names.values())))
    return graph_of_rows(
        in_order, edges, method=own.get("method", "circuit_tracer").text(), target=own.get("target", "label").text(),
        baseline=own.get("baseline", "unknown").text(), sample_count=own.get("sample_count", 1).whole(),
        completeness_delta=own.get("completeness_delta", 0.0).number(),
    )  # fmt: skip


def _neuron(node: Field, names: dict[str, Any]) -> NeuronRow:
    layer, feature_type = node["layer"].text(), node["feature_type"].text()
    parts = node["node_id"].text().split("_")
    if len(parts) != 3:
        raise node["node_id"].error(f"is {node['node_id'].value!r}, not <layer>_<feature>_<position>")
    kind = "input" if feature_type == ERROR else KINDS.get(feature_type, "unit")
    if layer in names:  # written by us
        score = node.get("activation", 0.0).number()
        return (names[layer], int(parts[1]), node["feature_type"].text(), score, node.get("influence", 0.0).number())
    position = node["ctx_idx"].whole()
    index = 0 if feature_type == ERROR else Field(node.path, f"{node.place}.node_id", parts[1]).whole()
    where = f"{layer}.error@{position}" if feature_type == ERROR else f"{layer}@{position}"
    # An error's or a token's influence; a logit has its probability instead.
    score = node.get("token_prob" if kind == "output" else "influence", 0.0).number()
    return (where, index, kind, score, abs(score))


def _order(layer: str, names: list[str]) -> tuple[float, str]:
    if layer in names:
        return names.index(layer), ""
    place = layer.partition("@")[0].partition(".")[0]
    return (-1.0 if place == "E" else float(place) if place.isdigit() else 0.0), layer


def _edge(link: Field, neurons: dict[str, NeuronRow]) -> EdgeRow:
    ends: list[str | int] = []
    for name in ("source", "target"):
        node_id = link[name].text()
        if node_id not in neurons:
            raise link[name].error(f"is {node_id!r}, which is no node of the file")
        ends += neurons[node_id][:2]
    weight = link["weight"].number()
    source_layer, source, target_layer, target = ends
    return (str(source_layer), int(source), str(target_layer), int(target), weight, abs(weight))


def write_circuit_tracer(graph: AttributionGraph, path: Path, slug: str = "attrgraph") -> None:
    """Write a graph. `abs_weight` has no place there: what is read back has |weight| instead."""
    rows = neuron_rows(graph)
    layers = list(dict.fromkeys(row[0] for row in rows))
    names = {"E" if place == 0 else str(place): layer for place, layer in enumerate(layers)}
    number = {layer: name for name, layer in names.items()}
    node_ids = {row[:2]: f"{number[row[0]]}_{row[1]}_0" for row in rows}
    repeated = [node_id for node_id, count in Counter(node_ids.values()).items() if count > 1]
    if repeated:
        raise AttrGraphError(f"two neurons have the id {repeated[0]!r}")
    nodes = [
        {
            "node_id": node_ids[row[:2]], "feature": row[1], "layer": number[row[0]], "ctx_idx": 0,
            "feature_type": row[2], "token_prob": 0.0, "is_target_logit": False, "run_idx": 0, "reverse_ctx_idx": 0,
            "jsNodeId": f"{number[row[0]]}_{row[1]}-0", "clerp": f"{row[0]}/{row[1]}", "influence": row[4],
            "activation": row[3],
        }
        for row in rows
    ]  # fmt: skip
    links = [
        {"source": node_ids[row[:2]], "target": node_ids[row[2:4]], "weight": row[4]} for row in edge_rows(graph)
    ]  # fmt: skip
    metadata = {
        "slug": slug, "scan": "attrgraph", "transcoder_list": [], "prompt_tokens": [graph.target],
        "prompt": graph.target, "node_threshold": None, "schema_version": SCHEMA_VERSION,
        "attrgraph": {
            "layers": names, "method": graph.method, "target": graph.target, "baseline": graph.baseline,
            "sample_count": graph.sample_count, "completeness_delta": graph.completeness_delta,
        },
    }  # fmt: skip
    view = {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""}
    content = {"metadata": metadata, "qParams": view, "nodes": nodes, "links": links}
    path.write_text(json.dumps(content), encoding="utf-8")
