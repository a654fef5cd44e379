"""An operation on a faulty network: blamed edges removed at the dose that validation chose, beside every control.

The samples fall into three parts. Edges are found and fine-tuning is done on the first, doses and learning rates of
every remedy are chosen on the second, and the third is looked at once, at the end. An operation is advised only where
it beats each control there, by a paired interval of 95 %.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from torch import nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery import remedies
from attrgraph_core.surgery.outcome import classes_of
from attrgraph_core.surgery.remedies import Candidate
from attrgraph_core.surgery.samples import Case
from attrgraph_core.surgery.theatre import Theatre, Tried
from attrgraph_core.surgery.weight_change import WeightChange
from attrgraph_core.surgery.weight_entries import layers_with_edges

SURGERY = ("blamed edges", "blamed edges, fine-tuned")
UNCHANGED = "unchanged"
OnRemedy = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Operation:
    """What was tried, on the test samples, and what came out.

    `table` has a row a remedy: method, dose, failure_rate (bad samples that still fail as before), bad_accuracy,
    good_accuracy, balance (their mean), gain, low and high (balance of the operation over it, with its 95 % interval),
    changed_weights and seconds (choosing included). `doses` has the dose curve on the validation part. `edges` were
    removed; `change` undoes what was done to the model. `ties` are the controls that the operation does not beat.
    """

    table: pd.DataFrame
    doses: pd.DataFrame
    edges: pd.DataFrame
    change: WeightChange
    method: str
    ties: tuple[str, ...]

    @property
    def is_advised(self) -> bool:
        return not self.ties

    @property
    def advice(self) -> str:
        """One sentence."""
        if self.is_advised:
            return f"operate: {self.method} beats every control on the test samples"
        return f"do not operate: {'; '.join(self.ties)} {'does' if len(self.ties) == 1 else 'do'} as well or better"


def operate(
    model: nn.Module,
    parts: tuple[Case, Case, Case],
    edges: pd.DataFrame,
    inputs: pd.DataFrame,
    *,
    steps: int = 100,
    on_remedy: OnRemedy = lambda _: None,
) -> Operation:
    """Remove edges to blame from `model`, in place, and say what else would have done as well.

    `parts` are of `Case.split`; `edges` and `inputs` are ranked as by `failure_edges` and `blamed_inputs`, found on the
    first part. `steps` are those of each fine-tuning. Afterwards the model is what the operation left, advised or not.
    Raises AttrGraphError where no edge is to blame.
    """
    find = parts[0]
    edges = edges[edges["target_layer"].isin(layers_with_edges(model, find.good.inputs[:1]))]
    blamed = edges[edges["blame"] > 0]
    if blamed.empty:
        raise AttrGraphError("no edge is to blame: none carries more of the failure than of the good samples")
    theatre, test = Theatre(model, parts[1]), parts[2]
    tried: dict[str, Tried] = {UNCHANGED: theatre.try_all([Candidate("", lambda model: None)], test)}

    def attempt(name: str, candidates: list[Candidate]) -> None:
        if candidates:
            on_remedy(name)
            tried[name] = theatre.try_all(candidates, test)

    rankings = {"blamed edges": blamed, "random edges": remedies.random_edges(edges)}
    rankings["magnitude edges"] = remedies.magnitude_edges(model, find, edges)
    removed: dict[str, pd.DataFrame] = {}
    for name, ranked in rankings.items():
        attempt(name, remedies.edge_doses(model, find, ranked, len(blamed)))
        chosen = tried[name].chosen
        own = ranked[ranked["target_layer"] == chosen.layer] if chosen.layer else ranked
        removed[name] = own.head(chosen.edge_count)
        attempt(f"{name}, fine-tuned", remedies.with_fine_tuning(model, find, removed[name], steps))
    for name, candidates in remedies.fine_tunings(model, find, steps):
        attempt(name, candidates)
    attempt("output mask", remedies.output_masks(model, find, classes_of(model, find)))
    attempt("input mask", remedies.input_masks(find, inputs))
    # Fine-tuning moves all weights: it is part of the operation only where validation shows that it helps.
    plain, tuned = (tried[name].validation for name in SURGERY)
    method = SURGERY[tuned.gain_over(plain)[1] > 0]
    table, ties = _table(tried, method)
    change = theatre.carry_out(tried[method].chosen)
    return Operation(table, tried["blamed edges"].curve, removed["blamed edges"], change, method, ties)


def _table(tried: dict[str, Tried], method: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    own, rows, ties = tried[method].test, [], []
    for name, found in tried.items():
        gain, low, high = own.gain_over(found.test)
        if name not in SURGERY and low <= 0:
            ties.append(name)
        rows.append(
            (
                name, found.chosen.dose, found.test.failure_rate, found.test.bad_accuracy, found.test.good_accuracy,
                found.test.balance, gain, low, high, found.changed_weights, found.seconds,
            )
        )  # fmt: skip
    columns = [
        "method", "dose", "failure_rate", "bad_accuracy", "good_accuracy", "balance", "gain", "low", "high",
        "changed_weights", "seconds",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns), tuple(ties)
