"""The attribution graph as data: neurons, and the influence that flows from one to the next."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


def completeness_delta(gap: float, explained: float) -> float:
    """What attributions miss of the scores that they explain, over these; both are sums of sizes over samples."""
    return gap / max(explained, float(np.finfo(np.float32).tiny))


@dataclass(frozen=True)
class AttributionGraph:
    """Neurons and edges of one network for one target, as means over `sample_count` samples.

    `neurons` has a row a neuron: layer, index, kind (input, unit, channel, head, output, or sum and product, where two
    layers join), attribution (signed share of the target score credited to it), abs_attribution (mean of the absolute
    share over samples). A graph that was computed with edges also has absorbed_by_bias and absorbed_by_stabiliser: what
    of the attribution comes from no edge, but from a bias or another constant, or was kept by the stabiliser of an LRP
    rule.
    `edges` has a row an edge: source_layer, source_index, target_layer, target_index, weight (signed share of the
    target score that flows from source to target), abs_weight (mean of its absolute value over samples). It is empty
    where the method gives neurons only.
    A graph that was computed with `keep` has its strongest edges only: `total_in` and `total_out` of every neuron, sums
    of abs_weight, and `total_edge_count` say what there was.
    `target` is `label` (the true class's logit), `class:<c>` (logit c over the samples of class c), `loss`, or
    `combination`. `completeness_delta` is what the input's attributions, and the constants whose share the method
    knows, leave of the score: mean absolute gap over mean absolute score explained.
    """

    neurons: pd.DataFrame
    edges: pd.DataFrame
    method: str
    target: str
    baseline: str
    sample_count: int
    completeness_delta: float
    total_edge_count: int | None = None
