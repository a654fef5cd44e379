"""Whether other samples would have given the same circuit: its strongest parts over graphs of resampled samples."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from attrgraph_core.circuits.circuit import Circuit
from attrgraph_core.evidence.agreement import ENDS
from attrgraph_core.graph.attribution_graph import AttributionGraph

Attribute = Callable[[Tensor], AttributionGraph]  # rows of the samples (rows,) to the graph of these


def sample_stability(attribute: Attribute, sample_count: int, circuit: Circuit, draws: int, seed: int = 0) -> float:
    """Mean Jaccard similarity of the strongest edges of `draws` graphs of resampled samples with those of all samples.

    As many edges as the circuit has; for a circuit of neurons, neurons of its layers by absolute attribution. 1 is
    always the same, 0 never one of them.
    """
    generator = np.random.default_rng(seed)
    whole = _strongest(attribute(torch.arange(sample_count)), circuit)
    found = []
    for _ in range(draws):
        rows = torch.from_numpy(generator.integers(sample_count, size=sample_count))
        drawn = _strongest(attribute(rows), circuit)
        found.append(len(whole & drawn) / max(1, len(whole | drawn)))
    return float(np.mean(found))


def _strongest(graph: AttributionGraph, circuit: Circuit) -> set[tuple[object, ...]]:
    if circuit.edges is not None:
        strongest = graph.edges.nlargest(len(circuit.edges), "abs_weight")
        return set(strongest[ENDS].itertuples(index=False, name=None))
    layers = {layer for layer, _ in circuit.neurons}
    own = graph.neurons[graph.neurons["layer"].isin(layers)]
    strongest = own.nlargest(len(circuit.neurons), "abs_attribution")
    return set(strongest[["layer", "index"]].itertuples(index=False, name=None))
