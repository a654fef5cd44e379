"""Whether the circuit of a network still changes from epoch to epoch: a reason to end a stage.

Either the strongest edges or neurons of its attribution graph, compared by their Jaccard index (shared by all), or how
it sees the samples, by DEPARA's similarity: the mean of that of nodes and that of edges, -1 to 1.
"""

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.attribute import attribute
from attrgraph_core.attribution.depara import DeepAttributionGraph, deep_attribution_graph, graph_similarity
from attrgraph_core.errors import AttrGraphError

COMPARED = ("edges", "neurons", "probes")
NEURON = ["layer", "index"]
EDGE = ["source_layer", "source_index", "target_layer", "target_index"]


@dataclass(frozen=True)
class StableWhen:
    """`of` is as alike as `similarity` for `epochs` epochs in a row; of a graph the `top_k` strongest in each layer."""

    similarity: float = 0.9
    epochs: int = 2
    of: str = "edges"
    top_k: int = 32

    def __post_init__(self) -> None:
        if self.of not in COMPARED:
            raise AttrGraphError(f"'of' is {self.of!r}; a circuit is compared by its {', '.join(COMPARED)}")
        if not 0 < self.similarity <= 1:
            raise AttrGraphError(f"similarity is {self.similarity}; it is above 0 and at most 1")
        if self.epochs < 1 or self.top_k < 1:
            raise AttrGraphError(f"epochs and top_k are {self.epochs} and {self.top_k}; they are numbers from 1 on")


class CircuitStability:
    """Called with the network after each epoch; true as soon as its circuit is stable.

    `inputs` (samples, ...) and `labels` are what is attributed, relative to `baseline`. `similarities` are those of all
    epochs from the second on, the last one last. The network and random state are left as they were.
    """

    def __init__(
        self, when: StableWhen, inputs: Tensor, labels: Tensor, *, method: str = "deeplift",
        baseline: Tensor | None = None,
    ) -> None:  # fmt: skip
        self.when, self.inputs, self.labels = when, inputs, labels
        self.method, self.baseline = method, baseline
        self.similarities: list[float] = []
        self._before: set[tuple[object, ...]] | DeepAttributionGraph | None = None

    def __call__(self, model: nn.Module) -> bool:
        device = next(model.parameters()).device
        now = self._circuit(model, device)
        if self._before is not None:
            self.similarities.append(_similarity(self._before, now))
        self._before = now
        last = self.similarities[-self.when.epochs :]
        return len(last) == self.when.epochs and min(last) >= self.when.similarity

    def _circuit(self, model: nn.Module, device: torch.device) -> set[tuple[object, ...]] | DeepAttributionGraph:
        inputs, labels = self.inputs.to(device), self.labels.to(device)
        if self.when.of == "probes":
            return deep_attribution_graph(model, inputs)
        baseline = None if self.baseline is None else self.baseline.to(device)
        graph = attribute(model, inputs, labels, method=self.method, baseline=baseline)
        if self.when.of == "neurons":
            return strongest_in_layers(graph.neurons, NEURON, "abs_attribution", self.when.top_k)
        return strongest_in_layers(graph.edges, EDGE, "abs_weight", self.when.top_k)


def strongest_in_layers(table: pd.DataFrame, keys: list[str], column: str, top_k: int) -> set[tuple[object, ...]]:
    """The keys of the `top_k` rows of largest `column` in each layer (of edges: that they come from)."""
    ordered = table.sort_values([column, *keys], ascending=[False, *[True] * len(keys)])
    rows = ordered.groupby(keys[0], sort=False).head(top_k)
    return set(rows[keys].itertuples(index=False, name=None))


def jaccard(first: set[tuple[object, ...]], second: set[tuple[object, ...]]) -> float:
    """What two sets share of what they have together; 1 for two that are empty."""
    together = first | second
    return len(first & second) / len(together) if together else 1.0


def _similarity(
    before: set[tuple[object, ...]] | DeepAttributionGraph, now: set[tuple[object, ...]] | DeepAttributionGraph
) -> float:
    if isinstance(before, DeepAttributionGraph):
        assert isinstance(now, DeepAttributionGraph)
        found = graph_similarity(before, now)
        return (found.node + found.edge) / 2
    assert isinstance(now, set)
    return jaccard(before, now)
