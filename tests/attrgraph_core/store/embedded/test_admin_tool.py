"""What Neo4j's tool says, reduced to the line that names what is wrong."""

import pytest

from attrgraph_core.store.embedded.admin_tool import _reason

LOADING = """Picked up JAVA_TOOL_OPTIONS: -XX:+UseSerialGC
\rFiles: 1/53, data:  0.0%\rFiles: 40/53, data: 91.4%
Done: 41 files, 1.290MiB processed in 0.054 seconds.
Failed to load database 'neo4j': Unable to load database: ZstdIOException: Truncated source
Load failed for databases: 'neo4j'
Run with '--verbose' for a more detailed error message.
"""
DUMPING = """2026-11-30 23:29:45.464+0000 INFO  [o.n.c.d.DumpCommand] Starting dump of database 'neo4j'
2026-11-30 23:29:59.658+0000 ERROR [o.n.c.d.DumpCommand] Failed to dump database 'neo4j': IOException: No space left
2026-11-30 23:29:59.658+0000 ERROR [o.n.c.d.DumpCommand] Dump failed for databases: 'neo4j'
"""


@pytest.mark.parametrize(
    ("said", "complained", "reason"),
    [
        ("", LOADING, "Failed to load database 'neo4j': Unable to load database: ZstdIOException: Truncated source"),
        (DUMPING, "Dump failed", "Failed to dump database 'neo4j': IOException: No space left"),
        ("", "Files: 1/53, data:  0.0%\n", "it gave no reason"),
    ],
)
def test_the_reason_is_an_error_and_no_progress(said, complained, reason):
    assert _reason(said, complained) == reason
