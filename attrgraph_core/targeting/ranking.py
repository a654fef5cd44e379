"""The order that a column of scores gives the candidates."""

import pandas as pd

from attrgraph_core.errors import AttrGraphError


def strongest(candidates: pd.DataFrame, column: str, count: int, *, weakest: bool = False) -> list[int]:
    """The `count` candidates with the largest value in `column` (or the smallest), strongest first; of equal ones, the
    lower index. Raises AttrGraphError where the column is missing."""
    if column not in candidates:
        raise AttrGraphError(f"the policy needs a column {column}, which the candidates lack")
    ranked = candidates.sort_values([column, "index"], ascending=[weakest, True])
    return [int(index) for index in ranked["index"].head(count)]
