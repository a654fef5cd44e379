"""Whether ways of training give graphs that explain better: faithful, concentrated, stable.

Half of the held-out samples make the graph, the other half judge it by exact ablation. Stability over seeds is that of
DEPARA's graph, which sees networks of other weights with the same probes and needs no matching of neurons: each cell
trains a second network, of another seed.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import BaseModel, Field

from attrgraph_core.attribution.attribute import attribute
from attrgraph_core.attribution.depara import deep_attribution_graph, graph_similarity
from attrgraph_core.circuits.circuit import Circuit
from attrgraph_core.evidence.evidence import graph_evidence, ranked_edges
from attrgraph_core.evidence.faithfulness import score_circuit
from attrgraph_core.evidence.stability import sample_stability
from attrgraph_core.study.held_out import HeldOut
from pipelines.keys_file import Section
from pipelines.questions.question import COSTS, Measure, Task, Trained
from pipelines.questions.trained_variant import TUNABLE, StagesQuestion, accuracy_of, train_within, trained_at

if TYPE_CHECKING:
    from torch import Tensor, nn

OTHER_SEED = 1_000_000  # added to a cell's


class Options(Section):
    full_epochs: int = Field(default=14, ge=1)
    share: float = Field(default=0.05, gt=0, lt=1)  # of the network's edges that make the circuit
    samples: int = Field(default=128, ge=8)  # of each half
    draws: int = Field(default=5, ge=1)  # graphs of resampled samples


class Interpretability(StagesQuestion):
    name = "interpretability"
    asks = (
        "Are graphs of networks that trained chosen or recycled neurons more faithful, more concentrated, more stable?"
    )
    measures = (
        Measure("cpr", "area under faithfulness over circuit size", is_tested=True),
        Measure("cmd", "area between that and 1", larger_is_better=False, is_tested=True),
        Measure("seed_stability", "likeness of DEPARA's graphs of two seeds", is_tested=True),
        Measure("faithfulness", "of the strongest edges alone"),
        Measure("completeness", "1 less the faithfulness of all but these edges"),
        Measure("sample_stability", "overlap of the strongest edges over resampled samples"),
        Measure("edge_correlation", "of edge weights with exact deletion"),
        Measure("accuracy", "of the network"),
        *COSTS,
    )
    settings = TUNABLE
    Options: ClassVar[type[BaseModel]] = Options

    @property
    def chosen_by(self) -> Measure:
        """Settings are those of the best network, not of the prettiest graph."""
        return next(measure for measure in self.measures if measure.name == "accuracy")

    def train(self, task: Task) -> Trained:
        model, epochs = train_within(task, task.data, task.options.full_epochs)
        trained = trained_at(model, epochs[-1])
        other, others = train_within(
            replace(task, seed=task.seed + OTHER_SEED), task.data, task.options.full_epochs
        )  # fmt: skip
        return replace(trained, about=trained_at(other, others[-1]).model)

    def measure(self, task: Task, trained: Trained, held_out: HeldOut) -> dict[str, float]:
        options: Options = task.options
        half = min(options.samples, len(held_out.labels) // 2)
        made = HeldOut(held_out.inputs[:half], held_out.labels[:half])
        judged = HeldOut(held_out.inputs[half : 2 * half], held_out.labels[half : 2 * half])
        found = _evidence(options, trained.model, made, judged)
        probes = [deep_attribution_graph(network, judged.inputs) for network in (trained.model, trained.about)]
        similarity = graph_similarity(*probes)
        found["seed_stability"] = (similarity.node + similarity.edge) / 2
        return {**found, "accuracy": accuracy_of(trained.model, held_out)}


def _evidence(options: Options, model: "nn.Module", made: HeldOut, judged: HeldOut) -> dict[str, float]:
    baseline = made.inputs.mean(dim=0)

    def graph_of(rows: "Tensor"):  # type: ignore[no-untyped-def]
        return attribute(model, made.inputs[rows], made.labels[rows], method="deeplift", baseline=baseline)

    graph = graph_of(torch.arange(len(made.labels)))
    evidence = graph_evidence(model, graph, judged.inputs, judged.labels, reference=made.inputs, baseline=baseline)
    count = max(1, round(options.share * evidence.ablation.edges.count))
    edges = ranked_edges(graph)[:count]
    circuit = Circuit(tuple(dict.fromkeys(end for edge in edges for end in (edge[:2], edge[2:]))), tuple(edges))
    scores = score_circuit(evidence.ablation, circuit)
    return {
        "cpr": evidence.curve.cpr, "cmd": evidence.curve.cmd, "edge_correlation": evidence.edge_correlation,
        "faithfulness": scores.faithfulness, "completeness": scores.completeness,
        "sample_stability": sample_stability(graph_of, len(made.labels), circuit, options.draws),
    }  # fmt: skip
