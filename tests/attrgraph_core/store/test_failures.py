"""What goes wrong around a writer, in the middle of a graph: the error says what to do, and a retry completes.

The server is one of its own, on a small disk in memory where mounting one is permitted.
"""

import contextlib
import dataclasses
import itertools
import os
import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import neo4j
import pytest
from rich.console import Console

from attrgraph_core.errors import AttrGraphError, UnreachableError
from attrgraph_core.graph.sparsify import sparsify
from attrgraph_core.store import database
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.database import Database
from attrgraph_core.store.embedded.server import EmbeddedServer
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.graph_writer import content_hash
from tests.attrgraph_core.store.writer_process import layered_graph
from tests.conftest import WITHOUT_PLUGINS
from tests.small_disk import small_disk

pytestmark = pytest.mark.neo4j
SILENT = Console(quiet=True)
DISK = "90m"
PLACE = {"run_id": "failures", "stage": 1, "epoch": 0, "edge_mass": 1.0}
GRAPH_ID = "failures/stage_1/epoch_0/deeplift/label"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A folder on a disk of DISK; None where mounting is not permitted."""
    with small_disk(tmp_path_factory.mktemp("small_disk"), DISK) as folder:
        yield folder


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A folder with a key and a certificate that it signed itself; None without openssl."""
    if shutil.which("openssl") is None:
        return None
    folder = tmp_path_factory.mktemp("certificate")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout private.key -out public.crt -days 2 -subj /CN=localhost"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def server(
    disk: Path | None, certificate: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    tls = {
        "dbms.ssl.policy.bolt.enabled": "true",
        "dbms.ssl.policy.bolt.base_directory": str(certificate),
        "dbms.ssl.policy.bolt.client_auth": "NONE",
        "server.bolt.tls_level": "OPTIONAL",
    }
    home = (disk or tmp_path_factory.mktemp("failures")) / "home"
    server = EmbeddedServer(home, settings={**WITHOUT_PLUGINS, **(tls if certificate else {})})
    yield server
    server.stop(force=True)


@pytest.fixture
def in_the_middle(monkeypatch) -> Callable[..., None]:
    """Have something happen once, as the third batch of edges is to be written; if asked, while no write is under way.

    Otherwise the other lane may be at any part of a write.
    """
    whole = Database.write

    def arrange(happening: Callable[[], object], between_writes: bool = False) -> None:
        numbers = itertools.count(1)
        turn = threading.Lock() if between_writes else contextlib.nullcontext()

        def write(self, name, **parameters):
            with turn:
                if name == "write_edges" and next(numbers) == 3:
                    happening()
                return whole(self, name, **parameters)

        monkeypatch.setattr(Database, "write", write)

    return arrange


def check_retry(connection: Connection, seed: int) -> None:
    """What failed is not to be seen; the same again is there, with the same content."""
    with GraphStore.open(connection) as store:
        assert GRAPH_ID not in set(store.graphs()["graph_id"])
        store.save(layered_graph(seed), **PLACE)
        assert stored_hash(store) == content_hash(sparsify(layered_graph(seed), edge_mass=1.0))
        assert len(store.graph(GRAPH_ID).edges) == 252


def stored_hash(store: GraphStore) -> str:
    table = store.run_cypher(
        "MATCH (g:AttributionGraph {graph_id: $id}) RETURN g.content_hash AS hash", {"id": GRAPH_ID}
    )
    return str(table["hash"][0])


def test_the_server_restarts_in_the_middle(server, in_the_middle, monkeypatch):
    monkeypatch.setattr(database, "RETRY_SECONDS", 5.0)  # no time would bring it back
    connection = server.start(SILENT)
    port = int(connection.uri.rpartition(":")[2])

    def restart() -> None:
        server.stop(force=True)
        with socket.create_server(("127.0.0.1", port)):  # held, so that the new server is at another address
            server.start(SILENT)

    in_the_middle(restart)
    with (
        GraphStore.open(connection) as store,
        pytest.raises(UnreachableError, match=r"does not answer\. .* Start it again: attrgraph db start"),
    ):
        store.save(layered_graph(1), **PLACE)
    check_retry(server.start(SILENT), 1)


def test_the_password_expires_in_the_middle(server, in_the_middle):
    connection = server.start(SILENT)
    auth = (connection.user, connection.password)

    def system(statement: str, **parameters: str) -> None:
        with neo4j.GraphDatabase.driver(connection.uri, auth=auth) as driver:
            driver.execute_query(statement, parameters, database_="system")

    def expire() -> None:
        """An open connection goes on with the password that it came with, so those are ended afterwards.

        Not the one that ends them: its statement would end in the middle.
        """
        end = (
            "CALL dbms.listConnections() YIELD connectionId, userAgent WHERE userAgent <> 'ends the others' "
            "WITH collect(connectionId) AS ids CALL dbms.killConnections(ids) YIELD message RETURN message"
        )
        with (
            neo4j.GraphDatabase.driver(connection.uri, auth=auth, user_agent="ends the others") as driver,
            driver.session() as session,
        ):
            session.run("RETURN 1").consume()  # let in while the password holds
            system("ALTER USER neo4j SET PASSWORD CHANGE REQUIRED")
            session.run(end).consume()

    with GraphStore.open(connection) as store:
        in_the_middle(expire, between_writes=True)  # what ends in the middle of one has other words
        with pytest.raises(AttrGraphError, match=r"password has expired.*ALTER CURRENT USER SET PASSWORD"):
            store.save(layered_graph(2), **PLACE)
    with pytest.raises(AttrGraphError, match="password has expired"):
        GraphStore.open(connection)
    with pytest.raises(AttrGraphError, match=r"password has expired.*write it into the password file"):
        server.start(SILENT)
    system("ALTER CURRENT USER SET PASSWORD FROM $old TO $new", old=connection.password, new="another-password")
    server.password_file.write_text("another-password\n")
    check_retry(server.start(SILENT), 2)


class CuttingProxy:
    """A way to a server that is cut after so many bytes towards it; each connection has its own number."""

    def __init__(self, port: int, lengths: Iterator[int]):
        self._port, self._lengths = port, lengths
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._pump, args=(client, server, next(self._lengths)), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, 1 << 62), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, left: int) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(min(left, 1 << 16))) and left > 0:
                target.sendall(data)
                left -= len(data)
        self.cuts += left <= 0
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def save_through(connection: Connection, seed: int) -> UnreachableError | None:
    """Save over a way that may be cut; what is raised then, and by no other error."""
    try:
        with GraphStore.open(connection) as store:
            store.save(layered_graph(seed), **PLACE)
    except UnreachableError as error:
        return error
    return None


def test_the_connection_is_cut_again_and_again(server):
    """Cut after a random number of bytes: a save ends whole or with words, and one without cuts completes."""
    direct = server.start(SILENT)
    rng = random.Random(7)
    proxy = CuttingProxy(int(direct.uri.rpartition(":")[2]), iter(lambda: rng.randrange(2_000, 40_000), None))
    through = Connection(f"bolt://127.0.0.1:{proxy.port}", direct.user, direct.password, "environment")
    failed = 0
    try:
        with GraphStore.open(direct) as store:
            for seed in range(10, 16):
                error = save_through(through, seed)
                failed += error is not None
                assert error is None or "Is it running, and is NEO4J_URI right?" in str(error)
                store.save(layered_graph(seed), **PLACE)
                assert stored_hash(store) == content_hash(sparsify(layered_graph(seed), edge_mass=1.0))
                assert len(store.graph(GRAPH_ID).edges) == 252
    finally:
        proxy.close()
    assert proxy.cuts >= 6
    print(f"{proxy.cuts} cuts, {failed} of 6 saves failed")


def test_an_encrypted_way_is_used_and_a_certificate_of_nobody_refused(server, certificate):
    if certificate is None:
        pytest.skip("there is no openssl to make a certificate with")
    connection = server.start(SILENT)
    for scheme in ("bolt+ssc", "neo4j+ssc"):
        encrypted = dataclasses.replace(connection, uri=connection.uri.replace("bolt", scheme))
        with GraphStore.open(encrypted) as store:
            store.save(layered_graph(3), **PLACE)
            assert len(store.graph(GRAPH_ID).edges) == 252
            assert store._database.driver.encrypted
    strict = dataclasses.replace(connection, uri=connection.uri.replace("bolt", "bolt+s"), way="environment")
    with pytest.raises(AttrGraphError, match=r"signed its certificate.*bolt\+ssc://"):
        GraphStore.open(strict)


def test_no_log_and_no_setting_of_the_server_holds_the_password(server):
    server.start(SILENT)
    password = server.password_file.read_bytes().strip()
    files = [path for path in server.home.rglob("*") if path.is_file() and path != server.password_file]
    files += [Path(f"/proc/{server.running().pid}/cmdline"), Path(f"/proc/{server.running().pid}/environ")]
    assert len(files) > 20
    assert [path for path in files if password in content(path)] == []


def content(path: Path) -> bytes:
    """Nothing where the server has done away with it meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def save_many(store: GraphStore) -> None:
    for seed in range(20, 400):
        store.save(layered_graph(seed), **PLACE)


def test_the_disk_is_full_in_the_middle(server, disk, in_the_middle):
    """Last: Neo4j shuts a database whose log it cannot write, and has to be started again."""
    if disk is None:
        pytest.skip("mounting a small disk is not permitted here")
    connection = server.start(SILENT)
    filler = disk / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(os.urandom(1 << 16))

    # Neo4j writes into places that its files have already, so one graph may still fit: many do not.
    with GraphStore.open(connection) as store:
        in_the_middle(fill)
        with pytest.raises(AttrGraphError) as caught:
            save_many(store)
    assert "most likely its disk has no space left. Make room on it" in str(caught.value), caught.value
    filler.unlink()
    server.stop(force=True)
    with GraphStore.open(server.start(SILENT)) as store:
        # It may have been full before the next graph was begun: then the one before is there, whole.
        if GRAPH_ID in set(store.graphs()["graph_id"]):
            assert len(store.graph(GRAPH_ID).edges) == 252
            store.delete_run(PLACE["run_id"])
    check_retry(server.start(SILENT), 20)
