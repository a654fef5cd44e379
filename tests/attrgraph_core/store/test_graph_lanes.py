"""Edges wait for the neurons between which they are, and for nothing else."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from attrgraph_core.graph.sparsify import sparsify
from attrgraph_core.store.graph_lanes import _Content
from tests.attrgraph_core.store.writer_process import LAYERS, WIDTH, layered_graph


@pytest.fixture
def content() -> _Content:
    return _Content(sparsify(layered_graph(0), edge_mass=1.0))


def test_edges_are_given_out_once_both_their_layers_are_there(content):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(content.next_edges)
        content.add_states(2 * WIDTH - 1)
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        content.add_states(1)  # the last of the second layer
        assert waiting.result(60)["target_layer"] != waiting.result(60)["source_layer"]
        waiting = pool.submit(content.next_edges)
        content.add_states((LAYERS - 2) * WIDTH)
        assert waiting.result(60) is not None


def test_who_waits_is_let_go_when_the_other_lane_ends(content):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(content.next_edges)
        content.stop()
        assert waiting.result(60) is None
    assert content.next_edges() is None
