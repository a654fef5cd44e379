"""Faithfulness over the size of the circuit: the areas CPR and CMD of MIB (Mueller et al., 2025).

The strongest edges of a graph, from a thousandth of the network's edges to all, make a circuit each. CPR, the circuit
performance ratio, is the area under their faithfulness by trapezoids: the larger, the sooner a ranking finds what
matters. CMD, the circuit-model distance, is the area between it and 1: 0 is a circuit of any size that does as the
network does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.integrate import trapezoid

from attrgraph_core.circuits.circuit import Circuit, Edge
from attrgraph_core.evidence.circuit_ablation import CircuitAblation
from attrgraph_core.evidence.faithfulness import score_circuit, share_of_whole

SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the network's edges


@dataclass(frozen=True)
class SizeCurve:
    """`faithfulness` of the strongest edges at each of `sizes`."""

    sizes: tuple[float, ...]
    faithfulness: tuple[float, ...]

    @property
    def cpr(self) -> float:
        return float(trapezoid(self.faithfulness, self.sizes))

    @property
    def cmd(self) -> float:
        return float(trapezoid([abs(1 - own) for own in self.faithfulness], self.sizes))


def size_curve(ablation: CircuitAblation, ranked: Sequence[Edge], sizes: Sequence[float] = SIZES) -> SizeCurve:
    """The curve of edges `ranked` from the strongest on.

    A size that asks for more edges than are ranked takes all of these; size 1 is the whole network. Raises
    AttrGraphError where the network scores as much with nothing.
    """
    scores = score_circuit(ablation, Circuit((), ()))
    counts = [min(len(ranked), max(1, round(size * ablation.edges.count))) for size in sizes]
    by_count = {
        count: share_of_whole(ablation.scores(ablation.real_edges(ranked[:count])), scores)
        for count in sorted({count for count, size in zip(counts, sizes, strict=True) if size < 1})
    }
    found = [1.0 if size >= 1 else by_count[count] for size, count in zip(sizes, counts, strict=True)]
    return SizeCurve(tuple(sizes), tuple(found))
