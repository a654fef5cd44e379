"""Progress where nobody watches a terminal."""

import io

from rich.console import Console

from attrgraph_cli import progress_bars
from pipelines.progress import report_progress


def lines_of(step_count: int) -> list[str]:
    written = io.StringIO()
    with progress_bars.progress_bars(Console(file=written)):
        for done in range(step_count + 1):
            report_progress("graphs", done, step_count)
    return written.getvalue().splitlines()


def test_quick_steps_are_not_a_line_each(monkeypatch):
    monkeypatch.setattr(progress_bars, "SECONDS_A_LINE", 60.0)  # however busy the machine is
    assert lines_of(187) == ["graphs: 0 of 187", "graphs: 187 of 187"]


def test_slow_steps_are(monkeypatch):
    monkeypatch.setattr(progress_bars, "SECONDS_A_LINE", 0.0)
    assert lines_of(2) == ["graphs: 0 of 2", "graphs: 1 of 2", "graphs: 2 of 2"]
