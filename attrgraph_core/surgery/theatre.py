"""Where remedies are tried on a network, which is afterwards as before, and the best one of each is chosen."""

import time
from dataclasses import dataclass

import pandas as pd
from torch import Tensor, nn

from attrgraph_core.surgery.outcome import Outcome, classes_of
from attrgraph_core.surgery.remedies import Candidate
from attrgraph_core.surgery.samples import Case
from attrgraph_core.surgery.weight_change import WeightChange, copy_of


@dataclass(frozen=True, eq=False)
class Tried:
    """A remedy's candidates on validation, the chosen one, and that on the test."""

    chosen: Candidate
    validation: Outcome
    test: Outcome
    curve: pd.DataFrame
    changed_weights: int
    seconds: float


class Theatre:
    """A network to try remedies on, which is afterwards as before."""

    def __init__(self, model: nn.Module, choose: Case) -> None:
        self.model, self.choose = model, choose
        self.before = copy_of(model)
        self._classes_by_case: dict[int, tuple[Case, Tensor]] = {}  # with the case, whose id is then no other one's

    def best_of(self, candidates: list[Candidate]) -> tuple[int, list[Outcome]]:
        """The place of the candidate with the most balance on the part to choose by, and what all did there."""
        outcomes = [self.outcome(candidate, self.choose)[0] for candidate in candidates]
        best = max(range(len(candidates)), key=lambda place: (outcomes[place].balance, -candidates[place].edge_count))
        return best, outcomes

    def try_all(self, candidates: list[Candidate], test: Case) -> Tried:
        """Choose, and look at the chosen one on the test."""
        started = time.perf_counter()
        best, outcomes = self.best_of(candidates)
        seconds = time.perf_counter() - started
        tested, changed = self.outcome(candidates[best], test)
        rows = [
            (candidate.layer, candidate.edge_count, outcome.failure_rate, outcome.bad_accuracy, outcome.good_accuracy)
            for candidate, outcome in zip(candidates, outcomes, strict=True)
        ]
        columns = ["layer", "edges", "failure_rate", "bad_accuracy", "good_accuracy"]
        return Tried(candidates[best], outcomes[best], tested, pd.DataFrame(rows, columns=columns), changed, seconds)

    def outcome(self, candidate: Candidate, case: Case) -> tuple[Outcome, int]:
        """What a candidate does on some samples, and how many numbers it changes; the network is as before."""
        undo, classes = None, self._classes(case)
        try:
            undo = candidate.apply(self.model)
            outcome = Outcome.of(self.model, case, classes)
            now = self.model.state_dict()
            changed = sum(int((value != now[name].cpu()).sum()) for name, value in self.before.items())
        finally:
            if undo is not None:
                undo()
            self.model.load_state_dict(self.before)
        return outcome, changed

    def _classes(self, case: Case) -> Tensor:
        """What the network said of the bad samples before any remedy."""
        if id(case) not in self._classes_by_case:
            self._classes_by_case[id(case)] = case, classes_of(self.model, case)
        return self._classes_by_case[id(case)][1]

    def carry_out(self, candidate: Candidate) -> WeightChange:
        """Apply a candidate for good; the way back."""
        candidate.apply(self.model)
        return WeightChange.between(self.before, self.model.state_dict())
