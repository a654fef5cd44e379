"""Whether a graph's edge weights say what taking an edge away does."""

import warnings

import numpy as np
import pandas as pd
from scipy.stats import ConstantInputWarning, pearsonr, spearmanr

from attrgraph_core.circuits.circuit import Circuit
from attrgraph_core.evidence.circuit_ablation import CircuitAblation

ENDS = ["source_layer", "source_index", "target_layer", "target_index"]
MOST_EDGES = 64


def edge_agreement(
    ablation: CircuitAblation, edges: pd.DataFrame, most: int = MOST_EDGES, seed: int = 0
) -> tuple[float, float]:
    """Correlation of `weight` with the score lost by exact deletion of an edge: Pearson's, and Spearman's of ranks.

    `edges` is a graph's table; of more than `most` edges so many are drawn. 0 where one side does not vary.
    """
    rows = np.random.default_rng(seed).permutation(len(edges))[:most]
    chosen = edges.iloc[np.sort(rows)]
    effects = [
        float((ablation.whole - ablation.without(Circuit((), (edge,)))).mean())
        for edge in chosen[ENDS].itertuples(index=False, name=None)
    ]
    return _correlation(chosen["weight"].to_numpy(), np.array(effects))


def _correlation(weights: np.ndarray, effects: np.ndarray) -> tuple[float, float]:
    if len(weights) < 2:
        return 0.0, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        found = float(pearsonr(weights, effects).statistic), float(spearmanr(weights, effects).statistic)
    return found[0] if np.isfinite(found[0]) else 0.0, found[1] if np.isfinite(found[1]) else 0.0
