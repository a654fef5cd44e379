"""What a study found, written by the command: a section of a Markdown page with a picture, and a page in HTML.

The Markdown page has a section a study; writing some studies' leaves the other sections as they are.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from attrgraph_core.study.comparisons import LEVEL
from pipelines.questions.question import Measure
from pipelines.run_folder import write_atomically
from pipelines.study_cells import FAILED, StudyGrid, study_folder
from pipelines.study_pictures import page_of, save_picture
from pipelines.study_summary import (
    cell_table,
    comparison_table,
    left_out_count,
    method_table,
    trial_seconds,
    trial_table,
)

HEAD = """# The study

Written by `attrgraph study studies/*.yaml`, a section a study; a command leaves the sections of other studies as they
are. Settings are chosen on validation samples, method by method, over seeds that the test does not have; each cell
looks at the test samples once. Comparisons are paired over seeds and corrected by Holm for their number within a study.
Figures are mean ± standard deviation over seeds. Each seed's own, with the id of its run in the store, stand in
`study_cells/<study>.csv` and in the study's HTML page.
"""
BORDER = "†"
MARK = "<!-- study {name} -->"


def write_report(grids: Sequence[StudyGrid], page: Path) -> list[Path]:
    """Write the sections of studies into a Markdown page, pictures and tables of cells beside it, and pages in HTML.

    Gives what was written. Raises AttrGraphError where a study has no finished cell.
    """
    written, sections = [page], {}
    for grid in grids:
        cells = cell_table(grid)
        picture = page.parent / "pictures" / f"study_{grid.study.name}.png"
        save_picture(grid, cells, picture)
        sections[grid.study.name] = section_of(grid, cells, picture.relative_to(page.parent))
        html_page = study_folder(grid.study.name) / "report.html"
        tables = {
            "methods": method_table(grid, cells), "comparisons": comparison_table(grid, cells), "cells": cells
        }  # fmt: skip
        words = [
            grid.question.asks,
            _form(grid, cells),
            *(f"{measure.name}: {measure.meaning}" for measure in _shown(grid)),
        ]
        write_atomically(html_page, page_of(grid, f"Study: {grid.study.name}", words, tables, trial_table(grid)))
        table = page.parent / "study_cells" / f"{grid.study.name}.csv"
        write_atomically(table, cells.to_csv(index=False))
        written += [picture, table, html_page]
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    write_atomically(page, merged(before, sections))
    return written


def merged(before: str, sections: dict[str, str]) -> str:
    """The page with these sections anew, others as before, in the order of their names."""
    parts = re.split(r"^<!-- study ([a-z0-9_]+) -->\n", before, flags=re.MULTILINE)
    kept = dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))
    kept |= {name: text.strip() for name, text in sections.items()}
    return HEAD + "".join(f"\n{MARK.format(name=name)}\n{text}\n" for name, text in sorted(kept.items()))


def section_of(grid: StudyGrid, cells: pd.DataFrame, picture: Path) -> str:
    """A study's section of the page."""
    study = grid.study
    parts = [f"## {study.name.replace('_', ' ').capitalize()}", grid.question.asks]
    parts += [study.description] if study.description else []
    parts += [
        _form(grid, cells),
        _measures(grid),
        f"![{study.name}: figures by method, a dot a seed]({picture.as_posix()})",
    ]
    methods = method_table(grid, cells)
    for data in study.data:
        own = methods[methods["data"] == data]
        if len(own):
            parts += [f"### {data}", _method_rows(grid, own)]
    if not study.is_quick:
        parts += [f"### Compared with `{study.reference}`", _comparison_rows(grid, comparison_table(grid, cells))]
    parts += [_traces(grid, methods), _failures(grid, cells)]
    return "\n\n".join(part for part in parts if part)


def _form(grid: StudyGrid, cells: pd.DataFrame) -> str:
    study = grid.study
    counts = ", ".join(
        _count(number, what)
        for number, what in ((len(study.methods), "method"), (len(study.data), "data set"), (len(study.seeds), "seed"))
    )
    counts += f" (without {', '.join(study.left_out)})" if study.left_out else ""
    tuned = _count(len(study.tuning_seeds), "tuning seed") if grid.trials else "nothing to tune"
    code = ", ".join(f"`{version}`" for version in cells["code_version"].unique())
    took = f"code {code}, {cells['wall_seconds'].sum() + trial_seconds(grid):.0f} s of one core"
    if study.is_quick:
        return (
            f"**Quick: no claims.** {counts}, {tuned}; {took}. It shows that the study runs, on too few seeds for more."
        )
    return f"{counts}, {tuned}; {took}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shown(grid: StudyGrid) -> tuple[Measure, ...]:
    return grid.question.measures


def _measures(grid: StudyGrid) -> str:
    lines = []
    for measure in _shown(grid):
        tested = ", **compared**" if measure.is_tested else ""
        better = "larger" if measure.larger_is_better else "smaller"
        lines.append(f"- `{measure.name}`: {measure.meaning} ({better} is better{tested})")
    return "\n".join(lines)


def _method_rows(grid: StudyGrid, rows: pd.DataFrame) -> str:
    measures = _shown(grid)
    head = ["method", "chosen", "seeds", *(measure.name for measure in measures)]
    lines = []
    for row in rows.to_dict("records"):
        chosen = ", ".join(
            f"{name} {value}" + BORDER * is_on_border(grid.study.grid_of(row["method"])[name], value)
            for name, value in json.loads(row["settings"]).items()
        )
        seeds = f"{row['seeds']}" + (f" ({row['failed']} failed)" if row["failed"] else "")
        cells = [spread(row[measure.name], row[f"{measure.name}_std"]) for measure in measures]
        lines.append([f"`{row['method']}`", chosen or "–", seeds, *cells])
    note = f"\n\n{BORDER}: at the border of what was tried: a better one may lie beyond."
    return _table(head, lines) + (note if any(BORDER in line[1] for line in lines) else "")


def is_on_border(tried: Sequence[object], value: object) -> bool:
    """Whether a chosen number is the least or the largest of three or more that were tried."""
    numbers = [other for other in tried if isinstance(other, int | float)]
    return len(numbers) > 2 and value in (min(numbers), max(numbers))


def _comparison_rows(grid: StudyGrid, rows: pd.DataFrame) -> str:
    head = ["data", "measure", "method", "difference (95 %)", "effect d (95 %)", "pairs", "p", "p, Holm", "verdict"]
    lines = []
    for row in rows.itertuples():
        difference = f"{number(row.difference, True)} ({number(row.low, True)} to {number(row.high, True)})"
        effect = f"{number(row.effect, True)} ({number(row.effect_low, True)} to {number(row.effect_high, True)})"
        lines.append(
            [
                str(row.data), str(row.measure), f"`{row.method}`", difference, effect, str(row.pairs), number(row.p),
                number(row.corrected_p), str(row.verdict),
            ]
        )  # fmt: skip
    left_out = left_out_count(grid)
    count = _count(sum(not math.isnan(p) for p in rows["p"]) + left_out, "comparison")
    count += f", {left_out} of them of data that were left out" if left_out else ""
    return _table(head, lines) + f"\n\nCorrected for {count}; a verdict needs a corrected p below {LEVEL}."


def _traces(grid: StudyGrid, methods: pd.DataFrame) -> str:
    """Which runs the figures are of: the seed is part of a run's id, all else is in its hash."""
    rows = [[row.data, f"`{row.method}`", f"`{row.config_hash}`"] for row in methods.itertuples()]
    words = f"The run of a seed is `study_{grid.study.name}-DATA-METHOD-seed-SEED-HASH`"
    return f"<details><summary>Runs</summary>\n\n{words}:\n\n{_table(['data', 'method', 'hash'], rows)}\n\n</details>"


def _failures(grid: StudyGrid, cells: pd.DataFrame) -> str:
    failed = cells[cells["status"] == FAILED]
    trials = trial_table(grid)
    lost = trials[trials["status"] == FAILED] if len(trials) else trials
    lines = [f"- `{row.method}` on {row.data}, seed {row.seed}: {row.error}" for row in failed.itertuples()]
    if len(lost):
        by_method = lost.groupby(["data", "method"], sort=False).size()
        lines += [
            f"- `{method}` on {data}: {count} trials on validation" for (data, method), count in by_method.items()
        ]
    return "Failed:\n\n" + "\n".join(lines) if lines else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float, signed: bool = False) -> str:
    """Three digits that count; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return f"{value:+.3g}" if signed else f"{value:.3g}"


def spread(mean: float, deviation: float) -> str:
    """Mean ± deviation, both to the same place; the mean alone where all are one number."""
    if math.isnan(mean):
        return "–"
    places = 3 if mean == 0 else max(0, 3 - math.floor(math.log10(abs(mean))))
    places = min(places, 4)
    has_spread = not math.isnan(deviation) and deviation > 0
    return f"{mean:.{places}f}" + (f" ± {deviation:.{places}f}" if has_spread else "")
