"""Sums of neurons' attributions over batches, for methods that make no edges, and the graphs that are made of them."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from attrgraph_core.attribution.neuron_methods.neuron_method import NeuronShares
from attrgraph_core.attribution.structure import INPUT, NetworkStructure
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph, completeness_delta
from attrgraph_core.graph.canonical_graph import EDGE_COLUMNS


@dataclass
class NeuronSums:
    """Sums over the samples of one group, signed and absolute, (neurons,) by layer."""

    sample_count: int = 0
    explained: float = 0.0
    gap: float = 0.0
    attributions: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def add(
        self, structure: NetworkStructure, shares: NeuronShares, absolute: bool = True, samples: slice = slice(None)
    ) -> None:
        """Add a batch, or some of its samples; neurons have absolute values always."""
        explained = shares.explained[samples]
        maps = {INPUT: structure.input_map} | {layer.name: layer.neurons for layer in structure.layers}
        first = next(iter(shares.attributions))  # the input, or what lies nearest to it
        for name, attribution in shares.attributions.items():
            own = attribution[samples]
            of_neuron = maps[name].sum(own.float() if own.dtype in (torch.bfloat16, torch.float16) else own)
            signed, size = of_neuron.sum(dim=0), of_neuron.abs().sum(dim=0)
            before = self.attributions.get(name)
            self.attributions[name] = (signed, size) if before is None else (before[0] + signed, before[1] + size)
            if name == first:
                self.gap += float((explained - of_neuron.sum(dim=1)).abs().sum())
        self.sample_count += len(explained)
        self.explained += float(explained.abs().sum())

    def plus(self, other: "NeuronSums") -> "NeuronSums":
        """The sums of both groups."""
        both = {
            name: (signed + other.attributions[name][0], absolute + other.attributions[name][1])
            for name, (signed, absolute) in self.attributions.items()
        }
        return NeuronSums(
            self.sample_count + other.sample_count, self.explained + other.explained, self.gap + other.gap, both
        )


def neuron_graph_of(
    structure: NetworkStructure, sums: NeuronSums, *, method: str, target: str, baseline: str
) -> AttributionGraph:
    """The graph of a group's sums, as means over its samples, without edges."""
    if not sums.sample_count:
        raise AttrGraphError("there are no samples to attribute")
    kinds = {INPUT: "input"} | {layer.name: layer.kind for layer in structure.layers}
    tables = []
    for name, pair in sums.attributions.items():
        signed, absolute = ((part / sums.sample_count).cpu().numpy() for part in pair)
        columns = {"layer": name, "index": np.arange(len(signed)), "kind": kinds[name], "attribution": signed,
                   "abs_attribution": absolute}  # fmt: skip
        tables.append(pd.DataFrame(columns))
    return AttributionGraph(
        neurons=pd.concat(tables, ignore_index=True),
        edges=no_edges(),
        method=method,
        target=target,
        baseline=baseline,
        sample_count=sums.sample_count,
        completeness_delta=completeness_delta(sums.gap, sums.explained),
        total_edge_count=0,
    )


def no_edges() -> pd.DataFrame:
    """The table of edges, empty, its columns of the types that they have in others."""
    types = {"source_layer": "str", "target_layer": "str", "source_index": "int64", "target_index": "int64"}
    return pd.DataFrame({name: pd.Series(dtype=types.get(name, "float64")) for name in EDGE_COLUMNS})
