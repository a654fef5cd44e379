"""The neurons that push misclassified samples to the wrong class, by signed attribution of wrong minus right."""

import numpy as np
import pandas as pd

from attrgraph_core.targeting.ranking import strongest

NEEDS = ("class_error",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons with the largest `class_error`; of equal ones, the lower index."""
    return strongest(candidates, "class_error", count)
