"""What becomes of a step that fails: a server that is gone comes back with a retry, what the user has to mend does not.

Not a retry policy, which would also try again what a Ctrl-C has ended.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from attrgraph_core.errors import AttrGraphError, UnreachableError

MOST_RETRIES = 2
SECONDS_BETWEEN = 2.0


@contextmanager
def failures_named() -> Iterator[None]:
    """Ask Dagster for a retry where the server does not answer; fail at once, in one line, for what can be mended."""
    try:
        yield
    except UnreachableError as error:
        raise dg.RetryRequested(max_retries=MOST_RETRIES, seconds_to_wait=SECONDS_BETWEEN) from error
    except AttrGraphError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
