"""The scores that policies rank neurons by: what each is, what it is made of, and what it costs.

A score a file, and all of them in this table, which imports no torch. Passes are of the attribution sample; their FLOPs
are counted while they are made, and kept with the neuron set.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Source = Literal["graph", "sample", "weights", "history"]


@dataclass(frozen=True)
class Score:
    """A column of candidates, 0 or more in each row."""

    source: Source
    meaning: str
    cost: str


SCORES = {
    "influence": Score("graph", "what the experiment's query returns, by default sum of |weight| of outgoing edges",
                       "one graph: the attribution method's passes"),
    "query_rank": Score("graph", "place among the rows of the query, from 0", "one graph"),
    "gradient_norm": Score("sample", "L2 norm of the loss gradient of the incoming weights", "1 forward, 1 backward"),
    "taylor": Score("sample", "mean over samples of |a dL/da|", "1 forward, 1 backward without weight gradients"),
    "fisher": Score("sample", "mean over samples of the squared gradient norm of the incoming weights",
                    "1 forward, 1 backward, sample by sample"),
    "class_error": Score("sample", "sum over misclassified samples of a d(wrong - right)/da, where above 0",
                         "1 forward; 1 forward and 1 backward of the misclassified"),
    "magnitude": Score("weights", "L2 norm of the incoming weights", "none"),
    "stages_since": Score("history", "stages since the neuron trained, 1 for the last one", "none"),
    "staleness": Score("history", "displacement of the weights when it last trained, x stages since", "none"),
}  # fmt: skip


def needs_source(scores: Iterable[str], source: Source) -> bool:
    """Whether any of `scores` is made of a graph, the sample, the weights or the history."""
    return any(SCORES[name].source == source for name in scores if name in SCORES)
