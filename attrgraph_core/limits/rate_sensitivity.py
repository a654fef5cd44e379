"""How much depends on the learning rate: of a grid of results, what is lost by another rate than the best.

`sensitivity` is the mean, over the rates of the grid, of what a rate loses to the best one, as the learning rate
sensitivity of Wortsman et al. (2023), with accuracy for their loss. It depends on the grid: only methods that were
tried on one grid compare.
"""

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError

COLUMNS = ("method", "learning_rate", "accuracy")


def rate_sensitivity(results: pd.DataFrame, tolerance: float = 0.02) -> pd.DataFrame:
    """A row a method: method, best_rate, best_accuracy, sensitivity, usable_decades.

    `results` has columns method, learning_rate, accuracy, a row a run; runs of one method and rate (seeds) are averaged
    first, and a run that diverged counts as accuracy 0 where its accuracy is missing. `usable_decades` is log10 of the
    highest over the lowest rate around the best one without a gap that are within `tolerance` of it.
    Raises AttrGraphError for missing columns, rates not above 0, and methods that were not tried on the same rates.
    """
    _check(results)
    means = results.fillna({"accuracy": 0.0}).groupby(["method", "learning_rate"], sort=True)["accuracy"].mean()
    rows = []
    for method in results["method"].unique():
        own = means[method]
        best = int(own.to_numpy().argmax())
        lost = own.iloc[best] - own.to_numpy()
        low, high = _around(lost <= tolerance, best)
        rates = own.index.to_numpy(float)
        decades = float(np.log10(rates[high] / rates[low]))
        rows.append((method, float(rates[best]), float(own.iloc[best]), float(lost.mean()), decades))
    return pd.DataFrame(rows, columns=["method", "best_rate", "best_accuracy", "sensitivity", "usable_decades"])


def _around(is_near: np.ndarray, best: int) -> tuple[int, int]:
    low = high = best
    while low > 0 and is_near[low - 1]:
        low -= 1
    while high < len(is_near) - 1 and is_near[high + 1]:
        high += 1
    return low, high


def _check(results: pd.DataFrame) -> None:
    missing = [column for column in COLUMNS if column not in results]
    if missing or results.empty:
        raise AttrGraphError(f"the results have no {missing[0]!r} column" if missing else "there are no results")
    if not (results["learning_rate"] > 0).all():
        raise AttrGraphError("a learning rate is not above 0")
    grids = {method: tuple(sorted(own.unique())) for method, own in results.groupby("method")["learning_rate"]}
    if len(set(grids.values())) > 1:
        first, *others = grids
        other = next(method for method in others if grids[method] != grids[first])
        raise AttrGraphError(
            f"{first!r} was tried at the rates {list(map(float, grids[first]))}, {other!r} at "
            f"{list(map(float, grids[other]))}; methods compare on one grid"
        )
