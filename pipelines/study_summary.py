"""The tables of a study, from the files of its cells: single figures, figures by method, comparisons with controls."""

import json
import math
from dataclasses import asdict

import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.study.comparisons import compare_paired, holm_corrected
from pipelines.study_cells import COMPLETE, FAILED, StudyGrid, load_result


def cell_table(grid: StudyGrid) -> pd.DataFrame:
    """A row a test cell that has run: run_id, data, method, seed, status, error, settings, config_hash, code_version,
    wall_seconds, and a column a measure. Raises AttrGraphError where none has."""
    rows = []
    for cell in grid.tests():
        result = load_result(cell)
        if result is not None:
            row = {name: getattr(result, name) for name in ("run_id", "data", "method", "seed", "status", "error")}
            row |= {"settings": json.dumps(result.settings), "config_hash": result.config_hash}
            row |= {"code_version": result.code_version}
            rows.append(row | {"wall_seconds": result.wall_seconds, **result.measures})
    if not rows:
        raise AttrGraphError(f"study {grid.study.name!r} has no finished cells to report")
    names = [measure.name for measure in grid.question.measures]
    return pd.DataFrame(rows).reindex(columns=list(dict.fromkeys([*rows[0], *names])))


def trial_table(grid: StudyGrid) -> pd.DataFrame:
    """A row a trial on validation that has run: data, method, seed, score, status, error, and a column a setting."""
    rows = []
    for cell in grid.trials:
        result = load_result(cell)
        if result is not None:
            score = result.measures.get(grid.question.chosen_by.name, math.nan)
            row = {"data": cell.data, "method": cell.method, "seed": cell.seed, "score": score}
            rows.append(row | {"status": result.status, "error": result.error, **dict(cell.settings)})
    return pd.DataFrame(rows)


def trial_seconds(grid: StudyGrid) -> float:
    """What the trials took."""
    return sum(result.wall_seconds for cell in grid.trials if (result := load_result(cell)) is not None)


def method_table(grid: StudyGrid, cells: pd.DataFrame) -> pd.DataFrame:
    """A row a data set and method: settings, config_hash, seeds (that are complete), failed, and each measure's mean
    and `_std` over its seeds that have it."""
    rows = []
    for (data, method), own in cells.groupby(["data", "method"], sort=False):
        whole = own[own["status"] == COMPLETE]
        row = {"data": data, "method": method, "settings": own["settings"].iloc[0]}
        row |= {"config_hash": own["config_hash"].iloc[0], "seeds": len(whole), "failed": len(own) - len(whole)}
        for measure in grid.question.measures:
            row |= {measure.name: whole[measure.name].mean(), f"{measure.name}_std": whole[measure.name].std()}
        rows.append(row)
    return pd.DataFrame(rows)


def comparison_table(grid: StudyGrid, cells: pd.DataFrame) -> pd.DataFrame:
    """A row a tested measure, data set and method but the reference: the paired comparison with it, and a verdict.

    p-values are corrected for all rows together, and for those of data sets that were left out, so that no choice of
    data makes a verdict easier. While cells are missing there is none: nobody shall stop where it looks well.
    """
    study, is_whole = grid.study, len(cells) == grid.test_count
    named, found = [], []
    for measure in grid.question.tested:
        for data in study.data:
            by_method = {
                method: dict(zip(own["seed"].tolist(), own[measure.name].tolist(), strict=True))
                for method, own in cells[cells["data"] == data].groupby("method")
            }
            for method in study.methods:
                if method != study.reference:
                    named.append((measure, data, method))
                    found.append(compare_paired(by_method.get(method, {}), by_method.get(study.reference, {})))
    rows = []
    corrected = holm_corrected(found, left_out_count(grid))
    for (measure, data, method), comparison in zip(named, corrected, strict=True):
        verdict = comparison.verdict(measure.larger_is_better, study.is_quick)
        if not (is_whole or study.is_quick):
            verdict = f"{len(cells)} of {grid.test_count} cells: no claim"
        verdict += _failed(cells, data, method) + _failed(cells, data, study.reference, " of the reference")
        rows.append({"measure": measure.name, "data": data, "method": method, **asdict(comparison), "verdict": verdict})
    return pd.DataFrame(rows)


def left_out_count(grid: StudyGrid) -> int:
    """How many comparisons the study has of data sets that were left out."""
    return len(grid.question.tested) * len(grid.study.left_out) * (len(grid.study.methods) - 1)


def _failed(cells: pd.DataFrame, data: str, method: str, whose: str = "") -> str:
    count = int(((cells["data"] == data) & (cells["method"] == method) & (cells["status"] == FAILED)).sum())
    return f", {count}{whose} failed" if count else ""
