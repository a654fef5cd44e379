"""Edges wait for the neurons between which they are, states for the first few, and both for nothing else."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.sparsify import sparsify
from attrgraph_core.store import batches, graph_lanes
from attrgraph_core.store.graph_lanes import _Content

WIDTH = 100


def chain() -> AttributionGraph:
    """Three layers of `WIDTH` neurons; the one of an index follows that of the same one."""
    layers = ["input", "fc1", "fc2"]
    kinds = ["input", "unit", "output"]
    neurons = pd.concat(
        pd.DataFrame({"layer": layer, "index": np.arange(WIDTH), "kind": kind, "attribution": 1.0})
        for layer, kind in zip(layers, kinds, strict=True)
    )
    indices = {"source_index": np.arange(WIDTH), "target_index": np.arange(WIDTH)}
    edges = pd.concat(
        pd.DataFrame({"source_layer": source, "target_layer": target, **indices})
        for source, target in itertools.pairwise(layers)
    )
    edges["weight"] = edges["abs_weight"] = 1.0
    return AttributionGraph(neurons.assign(abs_attribution=1.0), edges, "deeplift", "label", "zeros", 1, 0.0)


class Taken:
    """Batches that a lane takes, in a thread of its own."""

    def __init__(self, content: _Content):
        self.content = content
        self._pool = ThreadPoolExecutor(1)

    def next(self):
        return self._pool.submit(self.content.next_batch).result(60)

    def is_held(self):
        """What gives the next batch, which is not given out yet."""
        waiting = self._pool.submit(self.content.next_batch)
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        return waiting

    def end(self):
        self.content.stop()
        self._pool.shutdown()


@pytest.fixture
def taken(monkeypatch):
    """States in batches of 64 (alone), 70, 70, 70 and 26, edges of a pair of layers in one."""
    monkeypatch.setattr(batches, "BATCH_BYTES", 70 * (len("input") + len("output") + 50))
    monkeypatch.setattr(batches, "EDGES_A_STATE", 1)
    taken = Taken(_Content(sparsify(chain(), edge_mass=1.0), "run"))
    yield taken
    taken.end()


def test_states_wait_for_the_first_and_edges_for_both_their_layers(taken):
    first = taken.next()
    waiting = taken.is_held()  # the graph's node has few relationships yet
    taken.content.finish(first)
    states = [first, waiting.result(60), *(taken.next() for _ in range(3))]
    assert [(batch.query, batch.start) for batch in states] == [
        ("write_states", start) for start in (0, 64, 134, 204, 274)
    ]

    waiting = taken.is_held()
    taken.content.finish(states[3])
    taken.content.finish(states[1])
    with pytest.raises(TimeoutError):
        waiting.result(0.2)  # the third is not there, though one after it is
    taken.content.finish(states[2])
    edges = waiting.result(60)
    assert (edges.parameters["source_layer"], edges.parameters["target_layer"]) == ("input", "fc1")

    waiting = taken.is_held()
    taken.content.finish(states[4])
    assert waiting.result(60).parameters["target_layer"] == "fc2"
    assert taken.next() is None


def test_who_waits_is_let_go_when_the_other_lane_ends(taken):
    taken.next()
    waiting = taken.is_held()
    taken.content.stop()
    assert waiting.result(60) is None
    assert taken.next() is None


@pytest.mark.neo4j
def test_two_lanes_write_states_after_the_first_ones_and_neither_has_to_try_again(store, run_id, monkeypatch, caplog):
    monkeypatch.setattr(batches, "BATCH_BYTES", 5 * 61 * batches.EDGES_A_STATE)  # five states
    whole, under_way, together = graph_lanes._write_batch, set(), {True: 0, False: 0}

    def write(database, query, *arguments, lane, **parameters):
        if query == "write_states":
            is_first = parameters["layers"][0] == "input" and parameters["indices"][0] < batches.STATES_ALONE
            under_way.add(lane)
            together[is_first] = max(together[is_first], len(under_way))
        whole(database, query, *arguments, lane=lane, **parameters)
        under_way.discard(lane)

    monkeypatch.setattr(graph_lanes, "_write_batch", write)
    store.save(chain(), run_id=run_id, stage=1, epoch=0, edge_mass=1.0)
    assert together == {True: 1, False: 2}
    assert not [record for record in caplog.records if "retried" in record.message]
    assert len(store.graph(f"{run_id}/stage_1/epoch_0/deeplift/label").neurons) == 3 * WIDTH
