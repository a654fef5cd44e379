"""Where the graph store is: an address, a user and a password."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Connection:
    """How to reach one Neo4j server. `way` says which of the three ways led to it: environment, container, embedded."""

    uri: str
    user: str
    password: str = field(repr=False)
    way: str
