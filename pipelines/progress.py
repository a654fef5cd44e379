"""Progress of long work as log records: the command line draws bars from them, Dagster shows them with the run.

A record's `progress` is (what, steps done, steps in all).
"""

import logging

logger = logging.getLogger("attrgraph.progress")


def report_progress(what: str, done: int, total: int, detail: str = "") -> None:
    logger.info(
        "%s: %d of %d%s", what, done, total, f", {detail}" if detail else "", extra={"progress": (what, done, total)}
    )
