"""The neurons whose incoming weights have the largest loss gradient: a control that needs no graph."""

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons with the largest `gradient_norm`; of equal ones, the lower index."""
    if "gradient_norm" not in candidates:
        raise AttrGraphError("policy 'gradient_norm' needs a column gradient_norm, which the candidates lack")
    ranked = candidates.sort_values(["gradient_norm", "index"], ascending=[False, True])
    return ranked["index"].head(count).tolist()
