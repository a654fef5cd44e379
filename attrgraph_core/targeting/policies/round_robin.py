"""The neurons that have waited longest: with an unchanged budget each trains once a round. It looks at no score."""

import numpy as np
import pandas as pd

from attrgraph_core.targeting.ranking import strongest

NEEDS = ("stages_since",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons with the most `stages_since` they trained; of equal ones, the lower index."""
    return strongest(candidates, "stages_since", count)
