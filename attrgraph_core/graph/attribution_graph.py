"""The attribution graph as data: neurons, and the influence that flows from one to the next."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class AttributionGraph:
    """Neurons and edges of one network for one target, as means over `sample_count` samples.

    `neurons` has a row a neuron: layer, index, kind, attribution (signed), abs_attribution.
    `edges` has a row an edge: source_layer, source_index, target_layer, target_index, weight
    (signed share of the target score that flows from source to target), abs_weight.
    `completeness_delta` is the largest relative gap between what the method says should add up and what does.
    """

    neurons: pd.DataFrame
    edges: pd.DataFrame
    method: str
    target: str
    sample_count: int
    completeness_delta: float
