"""One Neo4j for the whole session, found in this order: NEO4J_URI, a Docker engine, the embedded server."""

import contextlib
import gc
import os
import random
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import neo4j
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from rich.console import Console

from attrgraph_core.store.connection import Connection, resolve_connection, verify
from attrgraph_core.store.embedded.server import EmbeddedServer

NEO4J_IMAGE = "neo4j:5.26-community"
CONTAINER_PASSWORD = "attrgraph-tests"

# Servers of tests are started often and do little: without Java's second compiler and with its small collector a start
# takes half the processors' time (6 s and not 12).
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
os.environ.setdefault("ATTRGRAPH_NEO4J_START_TIMEOUT", "600")  # on a machine with much else to do
WITHOUT_PLUGINS = {"server.directories.plugins": "no_plugins"}  # a setting: without Graph Data Science a third less

# The same examples each time, however long one takes on a busy machine.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")

# From the longest on. A worker that began one of them last would end long after the others.
SLOWEST_FILES = (
    "tests/pipelines/test_end_to_end.py", "tests/pipelines/test_checks.py", "tests/pipelines/test_stage_kinds.py",
    "tests/pipelines/test_surgery_stages.py", "tests/attrgraph_core/store/test_failures.py",
    "tests/attrgraph_core/store/embedded/test_server.py", "tests/attrgraph_core/store/test_killed_writer.py",
    "tests/attrgraph_core/store/embedded/test_backup.py", "tests/attrgraph_core/store/archive/test_round_trip.py",
    "tests/cypher/test_plan_bounds.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files come first, all others in their own order."""
    place = {name: number for number, name in enumerate(SLOWEST_FILES)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """What a test draws without a seed depends on no test before it, of which there are others in each worker."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def neo4j_connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A server that answers. A server of NEO4J_URI is used as it is: tests write into it."""
    if os.environ.get("NEO4J_URI"):
        connection = resolve_connection()
        verify(connection)
        yield connection
    elif docker_engine_answers():
        yield from run_container()
    else:
        yield from run_embedded(tmp_path_factory.mktemp("neo4j_home"))


@pytest.fixture(scope="session")
def neo4j_driver(neo4j_connection: Connection) -> Iterator[neo4j.Driver]:
    """A driver to the session's server."""
    auth = (neo4j_connection.user, neo4j_connection.password)
    with neo4j.GraphDatabase.driver(neo4j_connection.uri, auth=auth) as driver:
        yield driver


@pytest.fixture
def environment_store(neo4j_connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """The session's server, as commands and pipelines find it: by the environment."""
    monkeypatch.setenv("NEO4J_URI", neo4j_connection.uri)
    monkeypatch.setenv("NEO4J_USER", neo4j_connection.user)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_connection.password)
    return neo4j_connection


def docker_engine_answers() -> bool:
    """Whether a Docker engine is there; its client alone, without an engine, is not enough."""
    import docker
    from docker.errors import DockerException

    with warnings.catch_warnings():
        # The client asks the engine for its version while it is made; without one it raises and leaves its socket open.
        warnings.simplefilter("ignore", ResourceWarning)
        client = None
        with contextlib.suppress(DockerException):
            client = docker.from_env(timeout=5)
        gc.collect()
    if client is None:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def run_container() -> Iterator[Connection]:
    """Neo4j with Graph Data Science in a container, removed at the end."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    container = (
        DockerContainer(NEO4J_IMAGE)
        .with_env("NEO4J_AUTH", f"neo4j/{CONTAINER_PASSWORD}")
        .with_env("NEO4J_PLUGINS", '["graph-data-science"]')
        .with_exposed_ports(7687)
    )
    with container:
        wait_for_logs(container, "Started.", timeout=180)  # a plugin is fetched before
        uri = f"bolt://{container.get_container_host_ip()}:{container.get_exposed_port(7687)}"
        connection = Connection(uri, "neo4j", CONTAINER_PASSWORD, "container")
        verify(connection)
        yield connection


def run_embedded(home: Path) -> Iterator[Connection]:
    """The embedded server in a home of its own; the files of Neo4j come from the user's cache."""
    home.chmod(0o700)
    server = EmbeddedServer(home)
    try:
        yield server.start(Console(quiet=True))
    finally:
        server.stop(timeout=600)
