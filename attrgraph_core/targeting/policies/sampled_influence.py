"""Neurons drawn with probability proportional to their influence: strong ones often, every one at times."""

import numpy as np
import pandas as pd

NEEDS: tuple[str, ...] = ("influence",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """`count` different neurons, drawn one after the other, each with probability proportional to `influence`.

    Neurons without influence are drawn, uniformly, only where the others do not suffice.
    """
    ordered = candidates.sort_values("index")
    indices = ordered["index"].to_numpy()
    influence = ordered["influence"].to_numpy(dtype=float)
    if influence.max() > 0:
        influence = influence / influence.max()  # the sum of the influences themselves may overflow
    able = np.flatnonzero(influence > 0)
    chosen: list[int] = []
    if len(able):
        probability = influence[able] / influence[able].sum()
        size = min(count, len(able))
        chosen = generator.choice(indices[able], size=size, replace=False, p=probability).tolist()
    if len(chosen) < count:
        rest = np.setdiff1d(indices, indices[able])
        chosen += generator.choice(rest, size=count - len(chosen), replace=False).tolist()
    return chosen
