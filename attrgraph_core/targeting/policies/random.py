"""Neurons drawn uniformly, anew each stage: the control that every other policy must beat."""

import numpy as np
import pandas as pd

NEEDS: tuple[str, ...] = ()


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """`count` different neurons, all equally likely."""
    return generator.choice(np.sort(candidates["index"].to_numpy()), size=count, replace=False).tolist()
