"""Running the cells of studies: trials first, then the test cells whose settings are chosen, by one process or several.

Every process walks through the same cells and takes those that nobody has done or holds (a lock file a cell, which the
system lets go of when a process ends, however it ends). So `--jobs N` is N such processes, a second command beside the
first helps it, and what was killed leaves nothing but its running cells to do again.
"""

import contextlib
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess

from filelock import FileLock, Timeout

from attrgraph_core.errors import AttrGraphError
from pipelines.progress import report_progress
from pipelines.study_cells import FAILED, Cell, StudyGrid, load_result, run_cell
from pipelines.study_file import Study

POLL_SECONDS = 0.3
TERMINATED = 143  # exit code of a process that was asked to end


def run_studies(studies: Sequence[Study], jobs: int = 1, *, fresh: bool = False, retry_failed: bool = False) -> None:
    """Run what is left of the studies' cells. Raises AttrGraphError where worker processes died; what is done stays.

    `fresh` forgets what was done, `retry_failed` what failed.
    """
    grids = [StudyGrid(study) for study in studies]
    for grid in grids:
        _forget(grid, fresh, retry_failed)
    if jobs == 1:
        with _one_thread():
            _work(grids)
    else:
        work_side_by_side(studies, grids, jobs)
    for grid in grids:
        _report(grid)


def run_one(grid: StudyGrid, data: str, method: str, seed: int) -> Cell:
    """One test cell, after the trials that its settings need; its cell. What is done already is left as it is."""
    with _one_thread():
        for trial in grid.trials_of(data, method):
            _run_waiting(grid, trial)
        cell = grid.test_cell(data, method, seed)
        _run_waiting(grid, cell)
    return cell


def _forget(grid: StudyGrid, fresh: bool, retry_failed: bool) -> None:
    """Delete cells that are to run again. Where a trial then changes a choice, its test cells are other ones."""

    def goes(cell: Cell) -> bool:
        result = load_result(cell)
        return result is not None and (fresh or (retry_failed and result.status == FAILED))

    for cell in [*grid.tests(), *grid.trials]:
        if goes(cell):
            cell.path.unlink(missing_ok=True)
    grid.forget_choices()


def _work(grids: Sequence[StudyGrid], goes_on: Callable[[], bool] = lambda: True) -> None:
    """Do cells until none is left to do, or `goes_on` says no more; waits for those that others hold."""
    while True:
        left = ran = 0
        for grid in grids:
            for cell in _open_cells(grid):
                if not goes_on():
                    return
                done = _run_unless_held(grid, cell)
                left, ran = left + (not done), ran + done
                if done:
                    _report(grid)
        if not left and not ran and all(_is_done(grid) for grid in grids):
            return
        if not ran:
            time.sleep(POLL_SECONDS)


def _open_cells(grid: StudyGrid) -> Iterator[Cell]:
    yield from (cell for cell in grid.trials if not cell.path.exists())
    yield from (cell for cell in grid.tests() if not cell.path.exists())


def _is_done(grid: StudyGrid) -> bool:
    return next(_open_cells(grid), None) is None and len(grid.tests()) == grid.test_count


def _run_unless_held(grid: StudyGrid, cell: Cell) -> bool:
    """Run a cell, or find it done; False where another process is at it."""
    try:
        with _lock(cell, timeout=0):
            if not cell.path.exists():
                run_cell(grid, cell)
            return True
    except Timeout:
        return False


def _run_waiting(grid: StudyGrid, cell: Cell) -> None:
    with _lock(cell, timeout=-1):
        if not cell.path.exists():
            run_cell(grid, cell)


def _lock(cell: Cell, timeout: float) -> FileLock:
    folder = cell.path.parent / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{cell.path.stem}.lock", timeout=timeout)


def _report(grid: StudyGrid, before: int = -1) -> int:
    """Say how many cells are done, where they are not as many as before; how many."""
    total = len(grid.trials) + grid.test_count
    done = sum(cell.path.exists() for cell in grid.trials) + sum(cell.path.exists() for cell in grid.tests())
    if done != before:
        report_progress(f"study {grid.study.name}", done, total)
    return done


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Cells are small: threads cost more than they give, and the figures shall not depend on their number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # The first optimizer of a process loads parts of torch for seconds, which are no cell's.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    try:
        yield
    finally:
        torch.set_num_threads(before)


def work_side_by_side(studies: Sequence[Study], grids: Sequence[StudyGrid], jobs: int) -> None:
    """Processes that work, and their end. Raises AttrGraphError where they ended before all was done."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    workers: list[BaseProcess] = [context.Process(target=_worker, args=(list(studies),)) for _ in range(jobs)]
    reported = [-1] * len(grids)
    try:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            time.sleep(POLL_SECONDS)
            reported = [_report(grid, before) for grid, before in zip(grids, reported, strict=True)]
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
        for worker in workers:
            if worker.pid is not None:
                worker.join()
    if not all(_is_done(grid) for grid in grids):
        codes = ", ".join(str(worker.exitcode) for worker in workers)
        raise AttrGraphError(
            f"the worker processes ended (exit codes {codes}) before the study was done; what is done is kept, and the "
            "same command goes on (--jobs 1 shows what is wrong)"
        )


def _worker(studies: list[Study]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it hears a Ctrl-C, and ends it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # in order, so that nothing of it is left behind
    parent = multiprocessing.parent_process()
    with _one_thread():
        # Killed without a chance to end its workers, the parent takes them along.
        _work([StudyGrid(study) for study in studies], lambda: parent is None or parent.is_alive())
