"""What speaks for a circuit and against it, measured by exact ablation on held-out samples, as numbers to be stored."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.ablation import Kind
from attrgraph_core.attribution.attribute import attribute
from attrgraph_core.circuits.circuit import Circuit, Edge
from attrgraph_core.evidence.agreement import ENDS, edge_agreement
from attrgraph_core.evidence.circuit_ablation import CircuitAblation
from attrgraph_core.evidence.faithfulness import minimality, random_faithfulness, score_circuit
from attrgraph_core.evidence.size_curve import SizeCurve, size_curve
from attrgraph_core.evidence.stability import sample_stability
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.sparsify import EdgeLimits

RANDOM_DRAWS = 5
BOOTSTRAP_DRAWS = 5
MOST_PARTS = 32  # that are taken out one by one


@dataclass(frozen=True)
class Evidence:
    """Of one circuit, by `ablation` (zero, mean or resample) on `sample_count` held-out samples.

    `size` is its share of the network's edges, or of its layers' neurons. `faithfulness`, with the ends of its 95 %
    interval, `completeness` and `minimality` as in `evidence.faithfulness`; `random_faithfulness` is the mean over
    `random_draws` random circuits of equal size, `random_deviation` their standard deviation. `curve` is the
    faithfulness of the graph's strongest edges at each of `size_curve.SIZES`, `cpr` and `cmd` the areas of it and
    above it; `edge_correlation` and `edge_rank_correlation` of its weights
    with exact deletion (`evidence.agreement`). `sample_stability` as in `evidence.stability`.
    """

    ablation: str
    sample_count: int
    part_count: int
    size: float
    faithfulness: float
    faithfulness_low: float
    faithfulness_high: float
    completeness: float
    minimality: float
    random_faithfulness: float
    random_deviation: float
    random_draws: int
    curve: tuple[float, ...]
    cpr: float
    cmd: float
    edge_correlation: float
    edge_rank_correlation: float
    sample_stability: float

    @property
    def beats_random(self) -> bool:
        """Whether it is more faithful than random circuits, by two of their standard deviations."""
        return self.faithfulness > self.random_faithfulness + 2 * self.random_deviation

    def properties(self) -> dict[str, Any]:
        """As properties of `(:Circuit)`."""
        return asdict(self) | {"curve": list(self.curve)}


@dataclass(frozen=True, eq=False)
class GraphEvidence:
    """What is measured once a graph, for all circuits that were found in it."""

    ablation: CircuitAblation
    graph: AttributionGraph
    baseline: str | Tensor | None
    labels: Tensor
    curve: SizeCurve
    edge_correlation: float
    edge_rank_correlation: float

    def of(self, circuit: Circuit, seed: int = 0) -> Evidence:
        """The evidence for a circuit of this graph. Raises AttrGraphError as `score_circuit`."""
        scores = score_circuit(self.ablation, circuit)
        low, high = scores.interval(seed)
        drawn = random_faithfulness(self.ablation, circuit, scores, RANDOM_DRAWS, seed)
        return Evidence(
            ablation=self.ablation.kind,
            sample_count=len(self.ablation.inputs),
            part_count=len(self.ablation.parts(circuit)),
            size=self.ablation.share_of_network(circuit),
            faithfulness=scores.faithfulness,
            faithfulness_low=low,
            faithfulness_high=high,
            completeness=scores.completeness,
            minimality=minimality(self.ablation, circuit, scores, MOST_PARTS, seed),
            random_faithfulness=float(np.mean(drawn)),
            random_deviation=float(np.std(drawn)),
            random_draws=len(drawn),
            curve=self.curve.faithfulness,
            cpr=self.curve.cpr,
            cmd=self.curve.cmd,
            edge_correlation=self.edge_correlation,
            edge_rank_correlation=self.edge_rank_correlation,
            sample_stability=sample_stability(
                self._attributed, len(self.ablation.inputs), circuit, BOOTSTRAP_DRAWS, seed
            ),
        )

    def _attributed(self, rows: Tensor) -> AttributionGraph:
        own = rows.to(self.ablation.inputs.device)
        return attribute(
            self.ablation.model, self.ablation.inputs[own], self.labels[rows],
            method=self.graph.method, baseline=self.baseline, keep=EdgeLimits(),
        )  # fmt: skip


def graph_evidence(
    model: nn.Module,
    graph: AttributionGraph,
    inputs: Tensor,
    target: int | Tensor,
    *,
    kind: Kind = "mean",
    reference: Tensor | None = None,
    baseline: str | Tensor | None = None,
    seed: int = 0,
) -> GraphEvidence:
    """Evidence for a graph of `model` on held-out `inputs` (samples, ...), and for any circuit found in it.

    `target` is a class, or labels (samples,); `reference` and `kind` as in `CircuitAblation`, `baseline` as in
    `attribute`, by whose method the graph was made. Raises AttrGraphError where the graph is of another network.
    """
    labels = torch.full((len(inputs),), target) if isinstance(target, int) else target
    ablation = CircuitAblation(model, inputs, labels, kind=kind, reference=reference, seed=seed)
    pearson, spearman = edge_agreement(ablation, graph.edges, seed=seed)
    return GraphEvidence(
        ablation, graph, baseline, labels, size_curve(ablation, ranked_edges(graph)), pearson, spearman
    )


def ranked_edges(graph: AttributionGraph) -> Sequence[Edge]:
    """A graph's edges by absolute weight, strongest first."""
    ordered = graph.edges.sort_values("abs_weight", ascending=False, kind="stable")
    return list(ordered[ENDS].itertuples(index=False, name=None))
