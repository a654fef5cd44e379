"""The graph whose rows are worked out by hand wherever a query is asked of it.

input/0 -(2|3)-> fc1/0, input/1 -(-1|1)-> fc1/0, input/1 -(-4|4)-> fc1/1, fc1/0 -(1|6)-> fc2/0, fc1/1 -(-2|2)-> fc2/0,
as (weight|abs_weight): into fc1/0 flow 4, into fc1/1 4, into fc2/0 8.
"""

import pandas as pd

from attrgraph_core.graph.attribution_graph import AttributionGraph

# layer, index, kind, attribution, abs_attribution
Neuron = tuple[str, int, str, float, float]
# source, target, weight, abs_weight
Edge = tuple[str, int, str, int, float, float]

NEURONS: list[Neuron] = [
    ("input", 0, "input", 2.0, 3.0),
    ("input", 1, "input", -5.0, 5.0),
    ("fc1", 0, "unit", 1.0, 4.0),
    ("fc1", 1, "unit", -2.0, 2.0),
    ("fc2", 0, "output", -1.0, 3.0),
]
EDGES: list[Edge] = [
    ("input", 0, "fc1", 0, 2.0, 3.0),
    ("input", 1, "fc1", 0, -1.0, 1.0),
    ("input", 1, "fc1", 1, -4.0, 4.0),
    ("fc1", 0, "fc2", 0, 1.0, 6.0),
    ("fc1", 1, "fc2", 0, -2.0, 2.0),
]


def make_graph(
    edges: list[Edge] = EDGES,
    target: str = "label",
    neurons: list[Neuron] = NEURONS,
    method: str = "deeplift",
    completeness_delta: float = 0.0,
) -> AttributionGraph:
    """A graph of these rows over 4 samples."""
    return AttributionGraph(
        neurons=pd.DataFrame(neurons, columns=["layer", "index", "kind", "attribution", "abs_attribution"]),
        edges=pd.DataFrame(
            edges, columns=["source_layer", "source_index", "target_layer", "target_index", "weight", "abs_weight"]
        ),
        method=method,
        target=target,
        baseline="zeros",
        sample_count=4,
        completeness_delta=completeness_delta,
    )
