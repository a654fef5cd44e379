"""How much of a score a circuit makes: faithfulness, completeness, minimality, and a random circuit beside it.

With m the mean score over held-out samples, M the whole network and ∅ nothing, the faithfulness of a circuit C is
`(m(C) - m(∅)) / (m(M) - m(∅))`: 1 where the circuit alone does as the network does (Wang et al., 2023; Marks et al.,
2024). It can be above 1 or below 0. Completeness is 1 less the faithfulness of everything but C.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attrgraph_core.circuits.circuit import Circuit
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.evidence.circuit_ablation import CircuitAblation

MINIMAL_EFFECT = 1e-3  # of the whole score, below which a part of a circuit does nothing
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Scores:
    """Of each sample (samples,): with the circuit alone, without it, with nothing, and of the whole network."""

    only: Tensor
    without: Tensor
    nothing: Tensor
    whole: Tensor

    @property
    def faithfulness(self) -> float:
        return share_of_whole(self.only, self)

    @property
    def completeness(self) -> float:
        return 1 - share_of_whole(self.without, self)

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """Where faithfulness lies, with 95 % confidence, by resampling the samples."""
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(self.whole), (RESAMPLES, len(self.whole)), generator=generator)
        only, nothing, whole = (own.cpu().double()[rows].mean(dim=1) for own in (self.only, self.nothing, self.whole))
        shares = (only - nothing) / (whole - nothing)
        low, high = torch.quantile(shares[shares.isfinite()], torch.tensor([0.025, 0.975], dtype=torch.float64))
        return float(low), float(high)


def score_circuit(ablation: CircuitAblation, circuit: Circuit) -> Scores:
    """The four scores of a circuit. Raises AttrGraphError where the network scores as much with nothing."""
    scores = Scores(ablation.only(circuit), ablation.without(circuit), ablation.nothing(circuit), ablation.whole)
    gap = abs(float(scores.whole.double().mean() - scores.nothing.double().mean()))
    if gap <= 1e-9 * max(1.0, float(scores.whole.abs().max())):
        raise AttrGraphError(
            f"the network scores the same with everything {ablation.kind}-ablated as whole, so no circuit can be "
            "faithful to it; choose another kind of ablation, or reference samples of other classes"
        )
    return scores


def share_of_whole(scores: Tensor, of: Scores) -> float:
    """The mean of `scores` (samples,) between that with nothing (0) and that of the whole network (1)."""
    nothing = of.nothing.double().mean()
    return float((scores.double().mean() - nothing) / (of.whole.double().mean() - nothing))


def minimality(ablation: CircuitAblation, circuit: Circuit, scores: Scores, most: int, seed: int = 0) -> float:
    """The share of a circuit's parts without which its faithfulness changes by more than a thousandth.

    Each part is taken out of the circuit alone; of more than `most` parts so many are drawn. Two parts that stand in
    for each other both seem to do nothing.
    """
    parts = ablation.parts(circuit)
    chosen = np.random.default_rng(seed).permutation(len(parts))[:most]
    faithfulness = scores.faithfulness
    changes = [
        abs(faithfulness - share_of_whole(ablation.scores(ablation.less(circuit, parts[place])), scores))
        for place in chosen
    ]
    return sum(change > MINIMAL_EFFECT for change in changes) / len(changes) if changes else 0.0


def random_faithfulness(
    ablation: CircuitAblation, circuit: Circuit, scores: Scores, draws: int, seed: int = 0
) -> list[float]:
    """Faithfulness of random circuits with as many edges between each two layers, or neurons in each layer."""
    generator = np.random.default_rng(seed)
    return [share_of_whole(ablation.only(_random_like(ablation, circuit, generator)), scores) for _ in range(draws)]


def _random_like(ablation: CircuitAblation, circuit: Circuit, generator: np.random.Generator) -> Circuit:
    if circuit.edges is not None:
        return Circuit(circuit.neurons, tuple(ablation.edges.random_like(circuit.edges, generator)))
    drawn: list[tuple[str, int]] = []
    for layer, mask in ablation.real_neurons(circuit).by_layer.items():
        count = int(mask.sum())
        drawn += [(layer, int(index)) for index in generator.choice(len(mask), size=count, replace=False)]
    return Circuit(tuple(drawn), None)
