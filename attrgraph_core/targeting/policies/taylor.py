"""The neurons whose removal would change the loss most, to first order (Molchanov et al., ICLR 2017)."""

import numpy as np
import pandas as pd

from attrgraph_core.targeting.ranking import strongest

NEEDS = ("taylor",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons with the largest `taylor`; of equal ones, the lower index."""
    return strongest(candidates, "taylor", count)
