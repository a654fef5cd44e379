"""The neurons whose incoming weights have the largest loss gradient: a control that needs no graph."""

import numpy as np
import pandas as pd

from attrgraph_core.targeting.ranking import strongest

NEEDS = ("gradient_norm",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons with the largest `gradient_norm`; of equal ones, the lower index."""
    return strongest(candidates, "gradient_norm", count)
