"""The attribution graph as data: neurons, and the influence that flows from one to the next."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class AttributionGraph:
    """Neurons and edges of one network for one target, as means over `sample_count` samples.

    `neurons` has a row a neuron: layer, index, kind (input, unit, channel or output), attribution (signed share of
    the target score credited to it), abs_attribution (mean of the absolute share over samples).
    `edges` has a row an edge: source_layer, source_index, target_layer, target_index, weight (signed share of the
    target score that flows from source to target), abs_weight (mean of its absolute value over samples).
    `target` is `label` (the true class's logit) or `class:<c>` (logit c over the samples of class c).
    `completeness_delta` is the largest gap of a layer between what the method says should add up and what does,
    relative to the mean absolute score explained.
    """

    neurons: pd.DataFrame
    edges: pd.DataFrame
    method: str
    target: str
    baseline: str
    sample_count: int
    completeness_delta: float
