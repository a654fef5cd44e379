"""The fixed samples that every epoch of a run is attributed on, so that its graphs can be compared."""

import numpy as np

from attrgraph_core.errors import AttrGraphError


def attribution_sample(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Indices, sorted, of `size` samples (all, where there are fewer), every class in its share and at least once.

    Raises AttrGraphError where `size` is below the number of classes.
    """
    class_count = len(np.unique(labels))
    if size < class_count:
        raise AttrGraphError(
            f"{size} samples cannot hold each of the {class_count} classes; take {class_count} or more"
        )
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
