"""The neurons that moved far when they last trained, and have waited long: last displacement x stages since."""

import numpy as np
import pandas as pd

from attrgraph_core.targeting.ranking import strongest

NEEDS = ("staleness",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons with the largest `staleness`; of equal ones, the lower index."""
    return strongest(candidates, "staleness", count)
