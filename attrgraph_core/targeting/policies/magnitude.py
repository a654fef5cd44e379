"""The neurons with the largest incoming weights (L2 norm, bias included): a control that costs nothing."""

import numpy as np
import pandas as pd

from attrgraph_core.targeting.ranking import strongest

NEEDS = ("magnitude",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons with the largest `magnitude`; of equal ones, the lower index."""
    return strongest(candidates, "magnitude", count)
