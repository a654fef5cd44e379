"""Drawing a share of the samples of each class."""

import torch
from torch import Tensor

from attrgraph_core.errors import AttrGraphError


def drawn_rows(labels: Tensor, share: float, seed: int) -> Tensor:
    """Places, sorted, of a share of each class, rounded, and never of a whole class; by `seed` alone.

    Raises AttrGraphError for a share that is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise AttrGraphError(f"share is {share!r}, not a number from 0 to 1")
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for class_id in labels.unique():
        members = (labels == class_id).nonzero().squeeze(1)
        order = torch.randperm(len(members), generator=generator)
        drawn.append(members[order[: min(round(share * len(members)), len(members) - 1)]])
    return torch.cat(drawn).sort().values
