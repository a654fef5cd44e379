"""Whether a graph's edge weights say what taking an edge away does."""

import warnings

import numpy as np
import pandas as pd
from scipy.stats import ConstantInputWarning, pearsonr, spearmanr
from torch import Tensor, nn

from attrgraph_core.attribution.ablation import Kind, ablate_edges

ENDS = ["source_layer", "source_index", "target_layer", "target_index"]


def edge_agreement(
    model: nn.Module,
    inputs: Tensor,
    target: int | str | Tensor,
    edges: pd.DataFrame,
    *,
    labels: Tensor | None = None,
    kind: Kind = "mean",
    most: int = 128,
    seed: int = 0,
) -> tuple[float, float]:
    """Correlation of `weight` with the exact effect of deleting an edge, over at most `most` edges: Pearson's, and
    Spearman's of ranks.

    `edges` is a graph's table; of more edges so many are drawn. 0 where one side does not vary.
    """
    rows = np.random.default_rng(seed).permutation(len(edges))[:most]
    chosen = edges.iloc[np.sort(rows)]
    named = list(chosen[ENDS].itertuples(index=False, name=None))
    effects = ablate_edges(model, inputs, target, named, kind=kind, labels=labels, seed=seed)
    return _correlation(chosen["weight"].to_numpy(), effects["effect"].to_numpy())


def _correlation(weights: np.ndarray, effects: np.ndarray) -> tuple[float, float]:
    if len(weights) < 2:
        return 0.0, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        found = float(pearsonr(weights, effects).statistic), float(spearmanr(weights, effects).statistic)
    return found[0] if np.isfinite(found[0]) else 0.0, found[1] if np.isfinite(found[1]) else 0.0
