"""`attrgraph study`: a grid of methods, data and seeds, by a protocol that the command keeps, and its report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from attrgraph_cli.progress_bars import progress_bars
from attrgraph_cli.tables import print_table
from attrgraph_core.errors import AttrGraphError

if TYPE_CHECKING:
    from pipelines.study_cells import StudyGrid
    from pipelines.study_file import Study


def study(
    files: Annotated[list[Path], typer.Argument(help="Study files, such as studies/*.yaml.")],
    quick: Annotated[bool, typer.Option("--quick", help="The quick form: few seeds and settings, no claims.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, of one thread each.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The page with tables and plots: docs/study.md, of the quick form runs/study_quick.md.",
        ),
    ] = None,
    record: Annotated[bool, typer.Option(help="Keep each cell as a run in the store, when one can be had.")] = True,
    data: Annotated[list[str] | None, typer.Option(help="Only this data set; may be repeated.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the cells that were done.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check the files; write nothing.")] = False,
) -> None:
    """Run studies: every method on every data set with every seed, held against a reference.

    Settings are chosen on validation samples by seeds of their own; each cell looks at the test samples once. What was
    interrupted goes on where it was; the same command beside a running one helps it. Cells are kept in ./runs
    (ATTRGRAPH_RUNS), with an HTML report a study.
    """
    from pipelines.run_folder import runs_root
    from pipelines.study_cells import StudyGrid
    from pipelines.study_file import load_studies
    from pipelines.study_report import write_report
    from pipelines.study_run import run_studies

    console = Console() if sys.stdout.isatty() else Console(width=160)
    page = output or (runs_root() / "study_quick.md" if quick else Path("docs/study.md"))
    if page.suffix != ".md" or page.is_dir():
        raise AttrGraphError(f"--output is {page}; it is the path of a .md file")
    studies = [_form(found, quick, data) for found in load_studies(files).values()]
    with console.status("checking the studies"):
        grids = [StudyGrid(found) for found in studies]
        for grid in grids:
            grid.check()
    for grid in grids:
        console.print(f"{grid.study.name}: {len(grid.trials)} trials, {grid.test_count} test cells", highlight=False)
    if check:
        return
    with progress_bars(console):
        run_studies(studies, jobs, fresh=fresh, retry_failed=retry_failed)
    grids = [StudyGrid(found) for found in studies]
    if record:
        _record(grids, console)
    written = write_report(grids, page)
    _show(grids)
    console.print("Written: " + ", ".join(map(str, written)), soft_wrap=True, highlight=False)


def _form(study: "Study", quick: bool, data: list[str] | None) -> "Study":
    form = study.as_quick() if quick else study
    return form.of_data(data) if data else form


def _record(grids: "list[StudyGrid]", console: Console) -> None:
    """Without a store a study is whole, too: its cells have their files, and can be recorded by a later command."""
    from attrgraph_core.store.graph_store import GraphStore
    from pipelines.study_record import record_study

    try:
        with console.status("connecting to Neo4j"):
            store = GraphStore.open()
        with store, progress_bars(console):
            for grid in grids:
                record_study(grid, store)
    except AttrGraphError as error:
        console.print(f"no runs in the store: {error} (the same command records them later)", soft_wrap=True)


def _show(grids: "list[StudyGrid]") -> None:
    from pipelines.study_summary import cell_table, comparison_table, method_table

    for grid in grids:
        cells = cell_table(grid)
        methods = method_table(grid, cells)
        tested = [measure.name for measure in grid.question.tested]
        print(f"\n{grid.study.name}: {grid.question.asks}")
        if grid.study.is_quick:
            print("quick: no claims")
            print_table(methods[["data", "method", "settings", "seeds", "failed", *tested]])
        else:
            columns = ["measure", "data", "method", "difference", "low", "high", "effect", "corrected_p", "verdict"]
            print_table(comparison_table(grid, cells)[columns])
