"""Retention as a job: delete the graphs that nobody will look at again, by rules, now and then.

Without `apply` the job only says what would go. The schedule applies, and is off until it is switched on.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from pipelines.failures import failures_named
from pipelines.pictures import table_metadata
from pipelines.resources import GraphStoreResource

if TYPE_CHECKING:
    from attrgraph_core.store.graph_store import GraphStore


class RetentionConfig(dg.Config):
    """What is kept of each run, as `attrgraph db prune` takes it; 0 and '' switch a rule off."""

    keep_last: int = 5
    keep_every: int = 10
    keep_stage_ends: bool = True
    keep_best: str = "accuracy"
    runs: list[str] = Field(default_factory=list)
    experiments: list[str] = Field(default_factory=list)
    apply: bool = False


@dg.op(out=dg.Out(dg.Nothing))
def prune_graphs(context: dg.OpExecutionContext, config: RetentionConfig, graph_store: GraphStoreResource) -> None:
    """Show, and with `apply` delete, the graphs of snapshots that no rule keeps; counts and bytes are metadata."""
    from attrgraph_core.store.retention import RetentionRules

    with failures_named(), graph_store.open() as store:
        rules = RetentionRules(
            config.keep_last or None, config.keep_every or None, config.keep_stage_ends, config.keep_best or None
        )
        plan = store.plan_retention(rules, config.runs or None, config.experiments or None)
        metadata: dict[str, Any] = {
            "graphs_kept": len(plan.kept),
            "graphs_going": len(plan.going),
            "edges_going": int(plan.going["edge_count"].sum()),
            "circuits_going": int(plan.going["circuit_count"].sum()),
            "plan": table_metadata(plan.graphs[["graph_id", "edge_count", "kept_for"]], rows=100),
        }
        metadata |= _sizes(store, "before")
        if config.apply:
            pruned = store.prune(plan, lambda done, total: context.log.debug(f"{done} of {total} graphs deleted"))
            metadata["graphs_deleted"] = pruned.graph_count
            metadata["graphs_skipped"] = list(pruned.skipped)
            metadata |= _sizes(store, "after")
    if not config.apply:
        context.log.info(f"{len(plan.going)} of {len(plan.graphs)} graphs would go; set apply")
    else:
        context.log.info(f"{metadata['graphs_deleted']} of {len(plan.graphs)} graphs were deleted")
        if metadata["graphs_skipped"]:
            context.log.warning(
                f"graphs written or chosen from meanwhile stay: {', '.join(metadata['graphs_skipped'])}"
            )
    context.add_output_metadata(metadata)


def _sizes(store: "GraphStore", when: str) -> dict[str, int]:
    """What the store holds; its bytes as counted by its records, and on disk where that is to be seen."""
    from attrgraph_core.store.sizes import bytes_of_kinds, disk_bytes

    nodes, relationships = store.counts()
    kinds, _ = store.sizes()
    found = {
        f"nodes_{when}": nodes,
        f"relationships_{when}": relationships,
        f"graph_bytes_{when}": bytes_of_kinds(kinds),
    }
    on_disk = disk_bytes(store.connection)
    return found if on_disk is None else {**found, f"disk_bytes_{when}": on_disk}


@dg.job(executor_def=dg.in_process_executor, description="Delete the graphs of snapshots that no rule keeps.")
def retention() -> None:
    prune_graphs()


@dg.schedule(job=retention, cron_schedule="0 4 * * 0", execution_timezone="UTC")
def weekly_retention(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The rules as they are by default, applied to every run once a week. Off until it is switched on."""
    week = context.scheduled_execution_time.date().isoformat()
    return dg.RunRequest(run_key=f"retention-{week}", run_config={"ops": {"prune_graphs": {"config": {"apply": True}}}})
