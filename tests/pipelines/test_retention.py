"""The retention job in a real Dagster instance on a real store: it shows, then deletes, and its schedule is off."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pandas as pd
import pytest

from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from pipelines.definitions import defs
from pipelines.retention import weekly_retention

pytestmark = pytest.mark.neo4j


@pytest.fixture
def run_id(environment_store: Connection) -> Iterator[str]:
    """A run of ten epochs, a graph of one edge each."""
    neurons = pd.DataFrame(
        {
            "layer": ["input", "out"], "index": [0, 0], "kind": ["input", "output"], "attribution": [1.0, 1.0],
            "abs_attribution": [1.0, 1.0],
        }
    )  # fmt: skip
    edges = pd.DataFrame(
        {
            "source_layer": ["input"], "source_index": [0], "target_layer": ["out"], "target_index": [0],
            "weight": [1.0], "abs_weight": [1.0],
        }
    )  # fmt: skip
    graph = AttributionGraph(neurons, edges, "deeplift", "label", "zeros", 1, 0.0)
    name = f"retention-{uuid.uuid4().hex[:8]}"
    with GraphStore.open(environment_store) as store:
        for epoch in range(10):
            store.save(graph, run_id=name, stage=1, epoch=epoch, accuracy=epoch / 10)
        yield name
        store.delete_run(name)


def epochs(connection: Connection, run_id: str) -> list[int]:
    with GraphStore.open(connection) as store:
        return store.graphs(run_id)["epoch"].tolist()


def run_job(instance: dg.DagsterInstance, **config: object) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("retention").execute_in_process(
        instance=instance, run_config={"ops": {"prune_graphs": {"config": config}}}, raise_on_error=False
    )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (output,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def test_it_shows_first_and_deletes_when_told(environment_store, run_id):
    rules = {"runs": [run_id], "keep_last": 2, "keep_every": 4, "keep_stage_ends": False, "keep_best": ""}
    with dg.DagsterInstance.ephemeral() as instance:
        shown = metadata(run_job(instance, **rules))
        assert (shown["graphs_going"], shown["graphs_kept"], shown["edges_going"]) == (6, 4, 6)
        assert "graphs_deleted" not in shown
        assert epochs(environment_store, run_id) == list(range(10))
        deleted = metadata(run_job(instance, **rules, apply=True))
    assert deleted["graphs_deleted"] == 6
    assert deleted["nodes_before"] - deleted["nodes_after"] == 6 * 3
    assert deleted["graph_bytes_before"] - deleted["graph_bytes_after"] == 6 * (75 + 2 * 730)
    assert deleted["graphs_skipped"] == []
    assert "disk_bytes_after" not in deleted  # of a server of the environment
    assert epochs(environment_store, run_id) == [0, 4, 8, 9]


def test_what_was_written_meanwhile_stays_and_is_named(environment_store, run_id, monkeypatch):
    whole = GraphStore.prune
    graph_id = f"{run_id}/stage_1/epoch_3/deeplift/label"
    set_status = "MATCH (graph:AttributionGraph {graph_id: $id}) SET graph.status = $status"

    def prune(store, *given):
        store.run_cypher(set_status, {"id": graph_id, "status": "writing"}, read_only=False)
        try:
            return whole(store, *given)
        finally:
            store.run_cypher(set_status, {"id": graph_id, "status": "complete"}, read_only=False)

    monkeypatch.setattr(GraphStore, "prune", prune)
    with dg.DagsterInstance.ephemeral() as instance:
        rules = {"runs": [run_id], "keep_last": 2, "keep_every": 4, "keep_stage_ends": False, "keep_best": ""}
        deleted = metadata(run_job(instance, **rules, apply=True))
    assert (deleted["graphs_deleted"], deleted["graphs_skipped"]) == (5, [graph_id])
    assert epochs(environment_store, run_id) == [0, 3, 4, 8, 9]


def test_rules_that_are_none_fail_in_one_line(run_id):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_job(instance, keep_last=0, keep_every=0, keep_stage_ends=False, keep_best="")
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "no rule says what to keep" in failure.step_failure_data.user_failure_data.description


def test_the_schedule_applies_the_rules_and_is_off():
    time = datetime(2026, 11, 29, 4, tzinfo=UTC)
    request = weekly_retention(dg.build_schedule_context(scheduled_execution_time=time))
    assert request.run_key == "retention-2026-11-29"
    assert weekly_retention.default_status is dg.DefaultScheduleStatus.STOPPED
    dg.validate_run_config(defs.resolve_job_def("retention"), request.run_config)
    assert request.run_config == {"ops": {"prune_graphs": {"config": {"apply": True}}}}
