"""Dagster's run and the graph's run lead to each other.

In Dagster, `attrgraph/run_id` is a tag of the run (type it into the filter of the Runs page); in Neo4j,
`dagster_run_id` is a property of the run, and of each stage.
"""

import dagster as dg

RUN_TAG = "attrgraph/run_id"


def tag_run(context: dg.AssetExecutionContext, run_id: str) -> None:
    """Note on Dagster's run which run of the graph store it makes."""
    context.instance.add_run_tags(context.run_id, {RUN_TAG: run_id})
