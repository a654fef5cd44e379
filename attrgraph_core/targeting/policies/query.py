"""The neurons in the order in which a Cypher query returns them; any query of `cypher/analysis/` that names neurons."""

import numpy as np
import pandas as pd

from attrgraph_core.targeting.ranking import strongest

NEEDS = ("query_rank",)


def select(candidates: pd.DataFrame, count: int, generator: np.random.Generator) -> list[int]:
    """The `count` neurons of lowest `query_rank`; those that the query did not return share the last rank."""
    return strongest(candidates, "query_rank", count, weakest=True)
