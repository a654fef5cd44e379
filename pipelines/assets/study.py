"""The cells of all studies as partitions, and a report a study."""

from collections.abc import Mapping

import dagster as dg

from pipelines.pictures import table_metadata
from pipelines.resources import GraphStoreResource
from pipelines.study_file import Study

SEPARATOR, SEED = "-", "-seed-"


def cell_key(study: str, data: str, method: str, seed: int) -> str:
    """The partition of a test cell; names have no dashes."""
    return SEPARATOR.join((study, data, method)) + f"{SEED}{seed}"


def parse_cell_key(key: str) -> tuple[str, str, str, int]:
    """Study, data, method and seed of a partition."""
    names, _, seed = key.rpartition(SEED)
    study, data, method = names.split(SEPARATOR)
    return study, data, method, int(seed)


def study_assets(studies: Mapping[str, Study]) -> list[dg.AssetsDefinition]:
    """The assets `study_cell` and `study_report`; none where there are no studies."""
    if not studies:
        return []
    keys = [
        cell_key(study.name, data, method, seed)
        for study in studies.values()
        for seed in study.seeds
        for data in study.data
        for method in study.methods
    ]

    @dg.asset(
        group_name="study", kinds={"pytorch"}, owners=["team:attrgraph"], code_version="1",
        partitions_def=dg.StaticPartitionsDefinition(keys),
    )  # fmt: skip
    def study_cell(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """A method on a data set with a seed: settings chosen on validation, then one look at the test samples.

        The trials that a choice needs run first, for all seeds of a method once. A cell that failed is a result, too.
        """
        from pipelines.study_cells import StudyGrid, load_result
        from pipelines.study_run import run_one

        name, data, method, seed = parse_cell_key(context.partition_key)
        cell = run_one(StudyGrid(studies[name]), data, method, seed)
        result = load_result(cell)
        assert result is not None
        return dg.MaterializeResult(
            metadata={
                "run_id": result.run_id, "status": result.status, "settings": dg.MetadataValue.json(result.settings),
                "error": result.error, **result.measures,
            }
        )  # fmt: skip

    cells_of_study = dg.StaticPartitionMapping({key: parse_cell_key(key)[0] for key in keys})

    @dg.asset(
        group_name="study", kinds={"pandas", "neo4j"}, owners=["team:attrgraph"], code_version="1",
        partitions_def=dg.StaticPartitionsDefinition(list(studies)),
        deps=[dg.AssetDep(study_cell, partition_mapping=cells_of_study)],
    )  # fmt: skip
    def study_report(context: dg.AssetExecutionContext, graph_store: GraphStoreResource) -> dg.MaterializeResult:
        """What a study's finished cells say, compared with its reference; the cells become runs in the store."""
        from pipelines.study_cells import StudyGrid, study_folder
        from pipelines.study_record import record_study
        from pipelines.study_report import write_report
        from pipelines.study_summary import cell_table, comparison_table, method_table

        grid = StudyGrid(studies[context.partition_key])
        written = write_report([grid], study_folder(grid.study.name) / "study.md")
        with graph_store.open() as store:
            record_study(grid, store)
        cells = cell_table(grid)
        return dg.MaterializeResult(
            metadata={
                "cells": len(cells), "of": grid.test_count, "page": dg.MetadataValue.path(str(written[-1])),
                "methods": table_metadata(method_table(grid, cells), rows=100),
                "comparisons": table_metadata(comparison_table(grid, cells), rows=100),
            }
        )  # fmt: skip

    return [study_cell, study_report]
