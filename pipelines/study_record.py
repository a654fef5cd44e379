"""A study's cells as runs in the graph store: the same names, settings, figures, and the graphs of their networks."""

import math

from attrgraph_core.interchange.parquet import read_parquet
from attrgraph_core.store.graph_store import GraphStore
from pipelines.progress import report_progress
from pipelines.study_cells import Cell, CellResult, StudyGrid, load_result

STAGE, EPOCH = 1, 0  # a cell is one stage, and its graph is that of the end


def record_study(grid: StudyGrid, store: GraphStore) -> int:
    """Make a run of every finished test cell that the store has not as it is; how many were written.

    A run's stage has the cell's figures as properties, and with `graphs: true` its network's attribution graph.
    """
    experiment = f"study_{grid.study.name}"
    runs = store.runs(experiment)
    known = dict(zip(runs["run_id"], runs["status"], strict=True)) if len(runs) else {}
    cells = [(cell, result) for cell in grid.tests() if (result := load_result(cell)) is not None]
    written = 0
    for done, (cell, result) in enumerate(cells, start=1):
        if known.get(cell.run_id) != result.status or not _is_same(store, cell, result):
            _record(grid, store, cell, result)
            written += 1
        report_progress(f"study {grid.study.name}: runs in the store", done, len(cells))
    return written


def _is_same(store: GraphStore, cell: Cell, result: CellResult) -> bool:
    properties, _ = store.describe_run(cell.run_id)
    return bool(properties["configuration"].get("started_at") == result.started_at)


def _record(grid: StudyGrid, store: GraphStore, cell: Cell, result: CellResult) -> None:
    study = grid.study
    store.save_run(
        cell.run_id, f"study_{study.name}", cell.seed, cell.config_hash, result.code_version,
        configuration={
            "question": study.question, "data": study.data[cell.data].model_dump(mode="json"),
            "training": study.training.model_dump(mode="json"), "options": grid.options.model_dump(mode="json"),
            "method": {cell.method: study.methods[cell.method]}, "settings": result.settings,
            "fingerprint": result.fingerprint, "started_at": result.started_at, "error": result.error,
        },
    )  # fmt: skip
    figures = {name: value for name, value in result.measures.items() if math.isfinite(value)}
    store.save_stage(cell.run_id, STAGE, cell.method, **{f"measured_{name}": value for name, value in figures.items()})
    if cell.graph_path.exists():
        store.save(
            read_parquet(cell.graph_path),
            run_id=cell.run_id,
            stage=STAGE,
            epoch=EPOCH,
            accuracy=figures.get("accuracy"),
        )
    store.finish_run(cell.run_id, result.status)
