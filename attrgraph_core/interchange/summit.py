"""SUMMIT's attribution graph of a class, `ag-<class>.json` (Hohman et al., 2020; fredhohman/summit-data).

A list of channels a layer, from the layer nearest to the scores on; of each channel `count`, for how many images it is
among the strongest, its `pagerank`, and the channels of the next list that influence it: `prev_channels` those in the
graph, `attr_channels` its strongest, in the graph or not; `inf` counts images.

Read, a channel's attribution is its `count`, an edge's weight `inf`. The first list's channels are the outputs and the
last one's the inputs of the graph: SUMMIT has no others. Written, `count` is the absolute attribution and `inf` the
absolute weight, `pagerank` the neuron's part of its layer, so signs are lost; edges that leap over a layer cannot be
written.
"""

import json
import re
from pathlib import Path
from typing import Any

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.interchange.json_fields import Field, read_json
from attrgraph_core.interchange.tables import EdgeRow, NeuronRow, graph_of_rows

STRONGEST = 3  # attr_channels of a channel


def read_summit(path: Path) -> AttributionGraph:
    """The graph of a file; its target is the class that the file's name ends in, else `label`."""
    lists = list(reversed(list(read_json(path).fields())))
    names = [name for name, _ in lists]
    neurons: list[NeuronRow] = []
    edges: list[EdgeRow] = []
    for place, (layer, channels) in enumerate(lists):
        kind = "input" if place == 0 else "output" if place == len(lists) - 1 else "channel"
        for channel in channels.items():
            own = channel["channel"].whole()
            neurons.append((layer, own, kind, channel["count"].number(), channel["count"].number()))
            edges += [_edge(previous, names[place - 1] if place else None, layer, own)
                      for previous in channel["prev_channels"].items()]  # fmt: skip
    if not neurons:
        raise AttrGraphError(f"{path.name}: no layer of the file has a channel")
    found = re.search(r"-(\d+)$", path.stem)
    return graph_of_rows(neurons, edges, method="summit", target=f"class:{found[1]}" if found else "label")


def _edge(previous: Field, layer_before: str | None, layer: str, channel: int) -> EdgeRow:
    if layer_before is None:
        raise previous.error("is a previous channel in the last layer of the file, before which there is none")
    influence = previous["inf"].number()
    return (layer_before, previous["prev_channel"].whole(), layer, channel, influence, abs(influence))


def write_summit(graph: AttributionGraph, path: Path) -> None:
    """Write a graph. Raises AttrGraphError for an edge that leaps over a layer."""
    layers = list(dict.fromkeys(graph.neurons["layer"]))
    place = {layer: number for number, layer in enumerate(layers)}
    previous: dict[tuple[str, int], list[dict[str, float]]] = {}
    for edge in graph.edges.itertuples(index=False):
        if place[edge.target_layer] != place[edge.source_layer] + 1:
            raise AttrGraphError(
                f"SUMMIT's format joins neighbouring layers only; an edge leads from {edge.source_layer} to "
                f"{edge.target_layer}. Export it as graphml or parquet"
            )
        own = previous.setdefault((edge.target_layer, edge.target_index), [])
        own.append({"prev_channel": int(edge.source_index), "inf": abs(float(edge.weight))})
    content: dict[str, list[dict[str, Any]]] = {layer: [] for layer in reversed(layers)}
    totals = graph.neurons.groupby("layer")["abs_attribution"].transform("sum")
    for (layer, index, count), total in zip(
        graph.neurons[["layer", "index", "abs_attribution"]].itertuples(index=False, name=None), totals, strict=True
    ):
        edges = previous.get((layer, index), [])
        strongest = sorted(edges, key=lambda edge: -edge["inf"])[:STRONGEST]
        content[layer].append(
            {
                "channel": int(index), "count": float(count), "layer": layer,
                "pagerank": float(count / total) if total else 0.0, "prev_channels": edges,
                "attr_channels": [{"prev_channel": str(e["prev_channel"]), "inf": e["inf"]} for e in strongest],
            }
        )  # fmt: skip
    path.write_text(json.dumps(content), encoding="utf-8")
