"""Checks of circuits by exact ablation on held-out samples; what they measure is kept with each circuit in Neo4j.

All warn and none blocks: a circuit that does not hold up is a finding. They are measured together, once a stage.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from pipelines.failures import failures_named
from pipelines.partitions import experiment_and_seed, run_partitions
from pipelines.pictures import table_metadata
from pipelines.records import CheckpointsRecord, CircuitsRecord, DatasetRecord
from pipelines.resources import GraphStoreResource

if TYPE_CHECKING:
    from pipelines.evidence_run import Measured

LEAST = 0.5  # of completeness, minimality, CPR, rank correlation and stability

CHECKS = {
    "circuit_is_faithful": "Each circuit alone makes more of the score than random circuits of its size, by two of "
    "their standard deviations, or is all there is.",
    "circuit_is_complete": "Half of the score or more is lost without each circuit.",
    "circuit_is_minimal": "Half of each circuit's parts or more are needed for its faithfulness.",
    "strongest_edges_are_faithful": "The strongest edges of each circuit's graph make half of the score or more, in "
    "the mean over how many of the network's edges they are (CPR).",
    "edges_agree_with_ablation": "The ranks of each graph's weights and of the exact effects of deleting edges "
    "correlate by half or more.",
    "circuit_is_stable": "Half of the strongest parts or more stay where the samples are resampled; and where other "
    "seeds have run, half of the neurons are their circuits', too.",
}


def evidence_checks(position: int) -> dg.AssetChecksDefinition:
    asset = f"stage_{position}_circuits"

    @dg.multi_asset_check(
        name=f"stage_{position}_circuit_evidence",
        specs=[
            dg.AssetCheckSpec(
                name,
                asset=asset,
                description=words,
                partitions_def=run_partitions,
                additional_deps=["dataset", f"stage_{position}_checkpoints"],
            )
            for name, words in CHECKS.items()
        ],
        ins={
            "circuits": dg.AssetIn(asset),
            "dataset": dg.AssetIn("dataset"),
            "checkpoints": dg.AssetIn(f"stage_{position}_checkpoints"),
        },
    )
    def checks(
        context: dg.AssetCheckExecutionContext,
        graph_store: GraphStoreResource,
        circuits: CircuitsRecord,
        dataset: DatasetRecord,
        checkpoints: CheckpointsRecord,
    ) -> Iterator[dg.AssetCheckResult]:
        from pipelines.evidence_run import run_evidence

        experiment, seed = experiment_and_seed(context.partition_key)
        with failures_named(), graph_store.open() as store:
            measured = run_evidence(experiment, seed, dataset, checkpoints, circuits, store)
        table = evidence_table(measured)
        for name, passes in PASSES.items():
            failed = [own.circuit.circuit_id for own in measured if own.evidence is not None and not passes(own)]
            yield dg.AssetCheckResult(
                check_name=name,
                asset_key=dg.AssetKey(asset),
                passed=not failed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "failed": ", ".join(failed) or "none",
                    "not_measured": "; ".join(f"{own.circuit.query}: {own.reason}" for own in measured if own.reason)
                    or "none",
                    "evidence": table,
                },
            )

    return checks


def _is_faithful(own: "Measured") -> bool:
    assert own.evidence is not None
    return own.evidence.beats_random or own.evidence.size == 1


def _is_stable(own: "Measured") -> bool:
    assert own.evidence is not None
    return own.evidence.sample_stability >= LEAST and (own.seed_stability is None or own.seed_stability >= LEAST)


def _at_least(name: str) -> "Callable[[Measured], bool]":
    return lambda own: getattr(own.evidence, name) >= LEAST


PASSES: "dict[str, Callable[[Measured], bool]]" = {
    "circuit_is_faithful": _is_faithful,
    "circuit_is_complete": _at_least("completeness"),
    "circuit_is_minimal": _at_least("minimality"),
    "strongest_edges_are_faithful": _at_least("cpr"),
    "edges_agree_with_ablation": _at_least("edge_rank_correlation"),
    "circuit_is_stable": _is_stable,
}


def evidence_table(measured: "list[Measured]") -> dg.MarkdownMetadataValue:
    """A row a circuit, as markdown."""
    import pandas as pd

    rows = [
        {"query": own.circuit.query, "graph": own.circuit.graph_id, **own.evidence.properties(),
         "seed_stability": own.seed_stability}
        for own in measured if own.evidence is not None
    ]  # fmt: skip
    return table_metadata(pd.DataFrame(rows))
