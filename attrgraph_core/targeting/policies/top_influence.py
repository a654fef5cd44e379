"""The neurons of largest influence. It repeats itself from stage to stage: compare it with `random`."""

import numpy as np
import pandas as pd

from attrgraph_core.targeting.ranking import strongest

NEEDS = ("influence",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons with the largest `influence`; of equal ones, the lower index."""
    return strongest(candidates, "influence", count)
