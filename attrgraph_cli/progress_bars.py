"""Bars in the terminal from the progress that the pipeline logs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

LOGGER = "attrgraph.progress"


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
    """Where nobody watches a terminal: a line a step."""

    def __init__(self, console: Console):
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(record.getMessage(), highlight=False)


@contextmanager
def progress_bars(console: Console) -> Iterator[None]:
    """Show what the pipeline reports while the block runs: bars in a terminal, else a line a step."""
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
