"""How large graphs are on disk, counted by their records: Neo4j's files tell less until it has written them.

What was committed is in the log of transactions first, and in the store's files after Neo4j's next checkpoint, up to a
quarter of an hour later; Community Edition cannot be asked for one. docs/graph.md says what the bytes are made of.
"""

import pandas as pd

from attrgraph_core.store.connection import Connection

EDGE_BYTES = 75  # an INFLUENCES with its properties
STATE_BYTES = 730  # a NeuronState with its properties, its two relationships and its two index entries


def counted_bytes(state_count: int, edge_count: int) -> int:
    """Bytes that neurons in graphs and edges take at least: all but a few hundredths of a store."""
    return STATE_BYTES * int(state_count) + EDGE_BYTES * int(edge_count)


def bytes_of_kinds(kinds: pd.DataFrame) -> int:
    """`counted_bytes` of all graphs, by the counts of kinds of nodes and relationships (columns kind, count)."""
    count_of = kinds.set_index("kind")["count"]
    return counted_bytes(count_of["NeuronState"], count_of["[INFLUENCES]"])


def disk_bytes(connection: Connection) -> int | None:
    """Bytes on disk of the embedded server's data; None for a server of the environment, whose disk is not seen."""
    if connection.way != "embedded":
        return None
    # Imported late: who brings a server needs neither Java nor the cache.
    from attrgraph_core.store.embedded.server import EmbeddedServer

    return EmbeddedServer().status().store_bytes
