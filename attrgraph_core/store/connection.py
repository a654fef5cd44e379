"""Where the graph store is: an address, a user and a password; finding it, and saying what is wrong with it."""

import os
from dataclasses import dataclass, field

import neo4j
from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConfigurationError,
    DriverError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
    TransientError,
)
from rich.console import Console

from attrgraph_core.errors import AttrGraphError, UnreachableError

CONNECTION_TIMEOUT_SECONDS = 15.0
SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")


@dataclass(frozen=True)
class Connection:
    """How to reach one Neo4j server. `way` says which of the three ways led to it: environment, container, embedded."""

    uri: str
    user: str
    password: str = field(repr=False)
    way: str


def resolve_connection(start_embedded: bool = True, console: Console | None = None) -> Connection:
    """The server that NEO4J_URI, NEO4J_USER (`neo4j`) and NEO4J_PASSWORD name, else the embedded one.

    The embedded server is started if it is down (`console` gets the progress, None is stderr); with
    `start_embedded=False` that raises AttrGraphError. A server of the environment is not contacted: see `verify`.
    """
    uri = os.environ.get("NEO4J_URI")
    if uri:
        return connection_from_environment(uri)
    # Imported late: who brings a server needs neither Java nor the cache.
    from attrgraph_core.store.embedded.server import EmbeddedServer

    server = EmbeddedServer()
    if start_embedded:
        return server.start(console)
    connection = server.connection()
    if connection is None:
        raise AttrGraphError(
            f"No Neo4j: NEO4J_URI is not set, and the embedded server of {server.home} is not running. "
            "Start it: attrgraph db start"
        )
    return connection


def connection_from_environment(uri: str) -> Connection:
    """The server at `uri` with the environment's user and password. Raises AttrGraphError if one is amiss."""
    scheme, separator, rest = uri.partition("://")
    if scheme not in SCHEMES or not separator or not rest:
        raise AttrGraphError(
            f"NEO4J_URI is {uri!r}, which is no address of a Neo4j server. Write it like bolt://localhost:7687 "
            f"(the scheme is one of {', '.join(SCHEMES)})."
        )
    if "@" in rest:  # not shown: what is before it may be a password
        raise AttrGraphError(
            "NEO4J_URI holds a user or a password before an '@'. Write the address alone, like bolt://localhost:7687, "
            "and set NEO4J_USER and NEO4J_PASSWORD."
        )
    password = os.environ.get("NEO4J_PASSWORD")
    if not password:
        raise AttrGraphError(
            f"NEO4J_URI is {uri!r}, but NEO4J_PASSWORD is not set. Set it, or unset NEO4J_URI for the embedded server."
        )
    return Connection(uri, os.environ.get("NEO4J_USER") or "neo4j", password, "environment")


def verify(connection: Connection) -> None:
    """Connect and run a query. Raises AttrGraphError, one line, when the server is out of reach or refuses us."""
    try:
        with neo4j.GraphDatabase.driver(
            connection.uri,
            auth=(connection.user, connection.password),
            connection_timeout=CONNECTION_TIMEOUT_SECONDS,
            max_transaction_retry_time=0.0,
        ) as driver:
            driver.execute_query("RETURN 1")
    except (DriverError, Neo4jError, ValueError, OSError) as error:
        raise describe_driver_error(error, connection) from error


def describe_driver_error(error: BaseException, connection: Connection) -> AttrGraphError:
    """What an exception of the Neo4j driver means for the user: what is wrong at which address, and the way out.

    Use: `except (DriverError, Neo4jError) as error: raise describe_driver_error(error, connection) from error`.
    """
    reason = _first_line(error)
    code = error.code or "" if isinstance(error, Neo4jError) else ""
    where = f"Neo4j at {connection.uri}"
    if code.endswith("AuthenticationRateLimit"):
        return AttrGraphError(
            f"{where} has had too many wrong passwords for user {connection.user!r}. Wait 5 s, try again."
        )
    if code.endswith("CredentialsExpired"):
        keep = "NEO4J_PASSWORD" if connection.way == "environment" else "the password file (attrgraph db status)"
        return AttrGraphError(
            f"{where}: the password has expired. Set a new one, in Neo4j Browser or cypher-shell on the database "
            f"`system`: ALTER CURRENT USER SET PASSWORD FROM 'old' TO 'new'; and write it into {keep}."
        )
    if "TransactionTimedOut" in code:
        return AttrGraphError(
            f"{where} ended a statement that took too long; nothing was changed. Ask for less (a LIMIT, one graph_id), "
            "or allow more: timeout=..., on the command line --timeout SECONDS"
        )
    if isinstance(error, AuthError) and not code.endswith("Forbidden"):
        source = (
            "NEO4J_USER and NEO4J_PASSWORD"
            if connection.way == "environment"
            else "the password file (attrgraph db status)"
        )
        return AttrGraphError(f"{where} refuses user {connection.user!r} or the password. Check {source}.")
    if "No space left" in str(error) or "disk is full" in str(error).lower() or code.endswith("TransactionLogError"):
        restart = (
            "attrgraph db stop --force and attrgraph db start" if connection.way == "embedded" else "start it anew"
        )
        return AttrGraphError(
            f"{where} cannot write its log: most likely its disk has no space left. Make room on it, then {restart}; "
            f"what was committed is kept. ({reason[:200]})"
        )
    if "OutOfMemory" in code or "OutOfMemory" in reason:
        way_out = "Write smaller batches, or give it more memory"
        if connection.way == "embedded":
            way_out += ": ATTRGRAPH_NEO4J_HEAP=2g, then attrgraph db stop and attrgraph db start"
        return AttrGraphError(f"{where} ran out of memory. {way_out}. ({reason})")
    if code.endswith("DatabaseUnavailable"):
        return UnreachableError(
            f"{where} runs, but its database is not available: {reason} Try again, or see the server's log."
        )
    if "Failed to establish encrypted connection" in str(error):
        return AttrGraphError(
            f"{where} cannot be reached encrypted: no authority that this machine knows signed its certificate, or it "
            f"offers no encryption. If you trust the certificate, write {connection.uri.replace('+s://', '+ssc://')}"
        )
    if isinstance(error, (ServiceUnavailable, SessionExpired, OSError)):
        return UnreachableError(f"{where} does not answer. {_restart(connection)} ({reason})")
    if isinstance(error, (ConfigurationError, ValueError)):
        return AttrGraphError(f"{connection.uri!r} is no address of a Neo4j server: {reason}")
    if isinstance(error, TransientError):
        return AttrGraphError(
            f"{where} was busy with another writer's work, and trying again did not help; nothing was changed by this "
            f"step. Do the same again when it is quieter ({code}: {reason[:200]})"
        )
    if isinstance(error, ClientError) and code.endswith("Statement.AccessMode"):
        return AttrGraphError(f"{where} was asked to write by a query that may only read: {reason}")
    return AttrGraphError(f"{where} reports {code or type(error).__name__}: {reason}")


def _restart(connection: Connection) -> str:
    if connection.way == "embedded":
        return "It was stopped or killed; what was committed is kept. Start it again: attrgraph db start."
    return "Is it running, and is NEO4J_URI right?"


def _first_line(error: BaseException) -> str:
    """The error's message, its first line only: drivers add traces and lists of addresses."""
    message = (error.message if isinstance(error, Neo4jError) else None) or str(error) or type(error).__name__
    return message.strip().splitlines()[0]
