"""The scores that a policy needs, of a network and its history, with the FLOPs that making them took."""

from collections.abc import Callable, Iterable

import pandas as pd
from torch import Tensor, nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.history import history_scores
from attrgraph_core.targeting.scores import SCORES
from attrgraph_core.targeting.scores.class_error import class_error
from attrgraph_core.targeting.scores.fisher import fisher
from attrgraph_core.targeting.scores.magnitude import magnitude
from attrgraph_core.targeting.scores.taylor import taylor
from attrgraph_core.training.counted_flops import counted_flops
from attrgraph_core.training.gradient_norms import gradient_norms

OF_SAMPLE: dict[str, Callable[[nn.Module, Tensor, Tensor], pd.DataFrame]] = {
    "gradient_norm": gradient_norms, "taylor": taylor, "fisher": fisher, "class_error": class_error,
}  # fmt: skip


def score_neurons(
    model: nn.Module,
    scores: Iterable[str],
    inputs: Tensor,
    labels: Tensor,
    history: pd.DataFrame | None = None,
    stage: int | None = None,
) -> tuple[pd.DataFrame, int]:
    """A row a neuron with `scores` as columns, and the FLOPs they took; those of a graph are not made here.

    `inputs` (samples, ...) and `labels` are the attribution sample; `history` is that of `updated_history` and `stage`
    the one to choose for. Raises AttrGraphError for a score that is not known, and for a history that is missing.
    """
    wanted = list(scores)
    unknown = [name for name in wanted if name not in SCORES]
    if unknown:
        raise AttrGraphError(f"there is no score {unknown[0]!r}; known are {', '.join(SCORES)}")
    table = magnitude(model)
    with counted_flops() as counted:
        for name in wanted:
            if name in OF_SAMPLE:
                table = table.merge(OF_SAMPLE[name](model, inputs, labels), on=["layer", "index"])
    past = [name for name in wanted if SCORES[name].source == "history"]
    if past:
        if history is None or stage is None:
            raise AttrGraphError(f"score {past[0]!r} needs the history of the stages before, which is missing")
        table = table.merge(history_scores(history, stage), on=["layer", "index"])
    made = [name for name in wanted if SCORES[name].source != "graph"]
    return table[["layer", "index", *dict.fromkeys(made)]], counted.flops
