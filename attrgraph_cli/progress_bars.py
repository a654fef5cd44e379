"""Bars in the terminal from the progress that the pipeline logs."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

LOGGER = "attrgraph.progress"
SECONDS_A_LINE = 2.0


class _BarHandler(logging.Handler):
    def __init__(self, progress: Progress):
        super().__init__()
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}

    def emit(self, record: logging.LogRecord) -> None:
        given = getattr(record, "progress", None)
        if given is None:
            return
        what, done, total = given
        if what not in self.tasks:
            self.tasks[what] = self.progress.add_task(what, total=total)
        self.progress.update(self.tasks[what], completed=done, total=total)


class _LineHandler(logging.Handler):
    """Where nobody watches a terminal: a line a step, of quick steps one every few seconds, and the last."""

    def __init__(self, console: Console):
        super().__init__()
        self.console = console
        self.shown: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        what, done, total = getattr(record, "progress", (None, 0, 0))
        now = time.monotonic()
        if what is not None:
            if 0 < done < total and now - self.shown.get(what, now) < SECONDS_A_LINE:
                return
            self.shown[what] = now
        self.console.print(record.getMessage(), highlight=False)


@contextmanager
def progress_bars(console: Console) -> Iterator[None]:
    """Show what the pipeline reports while the block runs: bars in a terminal, else lines."""
    logger = logging.getLogger(LOGGER)
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    handler = _BarHandler(progress) if console.is_terminal else _LineHandler(console)
    logger.addHandler(handler)
    try:
        if console.is_terminal:
            with progress:
                yield
        else:
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
