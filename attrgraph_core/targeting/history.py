"""When each neuron last trained and how far its weights moved then, over the stages of a run."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from torch import Tensor

COLUMNS = ("layer", "index", "last_stage", "displacement")


def updated_history(
    history: pd.DataFrame | None,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    trained: Mapping[str, Iterable[int]] | None,
    stage: int,
) -> pd.DataFrame:
    """A row a neuron: layer, index, last_stage (0: never), displacement (L2, weights and bias, in that stage).

    `before` and `after` are the state dicts at both ends of a stage, `trained` the neurons it trained; without them
    they are all of the layers of which anything moved.
    """
    tables = []
    for layer, moved in _displacements(before, after).items():
        rows = pd.DataFrame({"layer": layer, "index": range(len(moved)), "last_stage": 0, "displacement": 0.0})
        if history is not None:
            own = history[history["layer"] == layer].sort_values("index")
            rows[["last_stage", "displacement"]] = own[["last_stage", "displacement"]].to_numpy()
        if trained is not None:
            indices = sorted(trained.get(layer, ()))
        else:
            indices = list(range(len(moved))) if moved.any() else []
        rows.loc[indices, "last_stage"] = stage
        rows.loc[indices, "displacement"] = moved[indices]
        tables.append(rows.astype({"last_stage": int}))
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]


def history_scores(history: pd.DataFrame, stage: int) -> pd.DataFrame:
    """A row a neuron: layer, index, stages_since and staleness, as stage `stage`, which is yet to come, sees them.

    A neuron that never trained has waited for all stages, and counts as having moved as far as any of its layer.
    """
    since = stage - history["last_stage"]
    farthest = history.groupby("layer")["displacement"].transform("max").clip(lower=np.finfo(float).tiny)
    displacement = history["displacement"].where(history["last_stage"] > 0, farthest)
    return history[["layer", "index"]].assign(stages_since=since, staleness=displacement * since)


def _displacements(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """By layer with a weight matrix or filters, the length of the way of each row."""
    found = {}
    for name, weight in after.items():
        layer, _, parameter = name.rpartition(".")
        if parameter != "weight" or weight.dim() < 2:
            continue
        squares = (weight.double() - before[name].double()).reshape(len(weight), -1).square().sum(dim=1)
        bias = f"{layer}.bias"
        if bias in after:
            squares = squares + (after[bias].double() - before[bias].double()).square()
        found[layer] = squares.sqrt().cpu().numpy()
    return found
