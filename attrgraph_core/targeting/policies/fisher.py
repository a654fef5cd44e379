"""The neurons whose incoming weights have the largest empirical Fisher information (Kirkpatrick et al., PNAS 2017)."""

import numpy as np
import pandas as pd

from attrgraph_core.targeting.ranking import strongest

NEEDS = ("fisher",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons with the largest `fisher`; of equal ones, the lower index."""
    return strongest(candidates, "fisher", count)
