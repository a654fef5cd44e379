"""Batches hold every row once, in lists, and are as large as their bytes allow."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.sparsify import sparsify
from attrgraph_core.store import batches


def dense(width: int) -> AttributionGraph:
    """Two layers of `width` neurons, all joined; edge i -> j weighs i + j / 1000."""
    neurons = [
        pd.DataFrame({"layer": layer, "index": np.arange(width) * 2, "kind": kind, "attribution": 1.0})
        for layer, kind in (("input", "input"), ("fc1", "output"))
    ]
    ends = np.indices((width, width)).reshape(2, -1)
    edges = pd.DataFrame(
        {"source_layer": "input", "source_index": ends[0] * 2, "target_layer": "fc1", "target_index": ends[1] * 2}
    )
    edges["weight"] = edges["abs_weight"] = ends[0] + ends[1] / 1000 + 1.0
    return AttributionGraph(pd.concat(neurons).assign(abs_attribution=1.0), edges, "deeplift", "label", "zeros", 1, 0.0)


@pytest.mark.parametrize("limit", [28, 1000, 1 << 20])
def test_every_edge_is_in_one_batch_with_its_places(monkeypatch, limit):
    monkeypatch.setattr(batches, "BATCH_BYTES", limit)
    sparse = sparsify(dense(20), edge_mass=1.0, max_edges_per_neuron=100)
    found = list(batches.edge_batches(sparse))
    assert max(len(batch["weights"]) for batch in found) == min(limit // 28, 400)
    rows = []
    for batch in found:
        ends = []
        for side in ("source", "target"):
            # What the query collects of a layer, whose indices are even.
            states = [index for index in range(0, 40, 2) if batch[f"first_{side}"] <= index <= batch[f"last_{side}"]]
            assert max(batch[f"{side}_places"]) == len(states) - 1
            ends.append([states[place] // 2 for place in batch[f"{side}_places"]])
        rows += zip(*ends, batch["weights"], strict=True)
    assert rows == [(i, j, i + j / 1000 + 1) for j in range(20) for i in range(20)]


def test_states_come_in_their_order(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 200 * batches.EDGES_A_STATE)
    neurons = sparsify(dense(4)).graph.neurons
    found = list(batches.state_batches(neurons))
    assert [len(batch["layers"]) for batch in found] == [3, 3, 2]
    assert [index for batch in found for index in batch["indices"]] == [0, 2, 4, 6, 0, 2, 4, 6]
    assert set(found[0]) == {
        "layers", "indices", "kinds", "attributions", "abs_attributions", "total_ins", "kept_ins", "total_outs",
    }  # fmt: skip


def test_memory_to_make_batches_does_not_grow_with_the_graph(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 28 * 500)

    def peak(edges_a_neuron: int) -> int:
        sparse = sparsify(dense(200), edge_mass=1.0, max_edges_per_neuron=edges_a_neuron)
        tracemalloc.start()
        for _ in batches.edge_batches(sparse):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(20)  # what is made once
    # Ten times the edges: of a further one at most 4 bytes, where its row in the table has 60.
    assert peak(200) - peak(20) < 4 * 180 * 200
