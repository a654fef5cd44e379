"""The fixed samples that every epoch of a run is attributed on, so that its graphs can be compared."""

import numpy as np


def attribution_sample(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Indices, sorted, of `size` samples (all, where there are fewer), every class in its share and at least once."""
    generator = np.random.default_rng(seed)
    if size >= len(labels):
        return np.arange(len(labels))
    order = generator.permutation(len(labels))
    # Rank within its class, as a fraction: the smallest fractions take every class evenly.
    rank = np.empty(len(labels))
    for class_id in np.unique(labels):
        members = order[labels[order] == class_id]
        rank[members] = np.arange(len(members)) / len(members)
    return np.sort(order[np.argsort(rank[order], kind="stable")[:size]])
