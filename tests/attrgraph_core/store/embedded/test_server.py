"""One home serves all tests here; each starts the server if the one before left it stopped."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import neo4j
import psutil
import pytest
from rich.console import Console

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection, describe_driver_error, verify
from attrgraph_core.store.embedded.artefacts import cache_folder
from attrgraph_core.store.embedded.server import EmbeddedServer
from tests.conftest import WITHOUT_PLUGINS

pytestmark = pytest.mark.neo4j
SILENT = Console(quiet=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("embedded_home")
    folder.chmod(0o700)
    yield folder
    EmbeddedServer(folder).stop()


@pytest.fixture
def server(home: Path) -> EmbeddedServer:
    """Once stopped, it starts without Graph Data Science."""
    return EmbeddedServer(home, settings=WITHOUT_PLUGINS)


def ask(connection: Connection, query: str) -> list[object]:
    auth = (connection.user, connection.password)
    with neo4j.GraphDatabase.driver(connection.uri, auth=auth) as driver:
        return driver.execute_query(query).records[0].values()


def wait_until_gone(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.wait(120)


def test_a_second_start_finds_the_first(server, home):
    connection = EmbeddedServer(home).start(SILENT)
    record = server.running()
    assert connection == server.start(SILENT)
    assert connection == EmbeddedServer(home).connection()
    assert EmbeddedServer(home).running() == record
    assert ask(connection, "RETURN gds.version() AS version") == ["2.13.9"]
    assert connection.password not in repr(connection)


def test_the_password_is_private_and_the_usual_one_refused(server):
    connection = server.start(SILENT)
    assert stat.S_IMODE(server.password_file.stat().st_mode) == 0o600
    assert server.password_file.read_text().strip() == connection.password
    with pytest.raises(AttrGraphError, match="refuses user 'neo4j'"):
        verify(Connection(connection.uri, "neo4j", "neo4j", "embedded"))


def test_an_open_password_file_is_refused(server):
    server.start(SILENT)
    server.password_file.chmod(0o644)
    try:
        with pytest.raises(AttrGraphError, match="chmod 600"):
            server.start(SILENT)
    finally:
        server.password_file.chmod(0o600)


def test_it_listens_on_the_loopback_only(server):
    server.start(SILENT)
    record = server.running()
    listening = [
        connection.laddr
        for connection in psutil.Process(record.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.port for address in listening} == {record.bolt_port, record.http_port}
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


@pytest.mark.parametrize("url", ["{home}/password", "/etc/hostname", "http://127.0.0.1:{http_port}/"])
def test_a_statement_reads_no_file_and_no_address(server, url):
    connection = server.start(SILENT)
    url = url.format(home=server.home, http_port=server.running().http_port)
    url = url if url.startswith("http") else f"file://{url}"
    with (
        neo4j.GraphDatabase.driver(connection.uri, auth=(connection.user, connection.password)) as driver,
        pytest.raises(neo4j.exceptions.Neo4jError, match=r"allow_csv_import_from_file_urls' is false|blocked"),
    ):
        driver.execute_query("LOAD CSV FROM $url AS row RETURN row", url=url)


def test_browser_answers(server):
    server.start(SILENT)
    assert (
        "<title>Neo4j Browser</title>"
        in httpx.get(server.running().browser_url, follow_redirects=True, timeout=60).text
    )


def test_status_tells_sizes_and_files(server):
    server.start(SILENT)
    status = server.status()
    assert status.record == server.running()
    assert status.uptime > 0
    assert status.store_bytes > 100_000
    assert status.log.exists()


def test_data_survive_a_stop(server):
    ask(server.start(SILENT), "CREATE (:Kept {number: 1}) RETURN 1 AS one")
    assert server.stop() is True
    assert server.running() is None
    assert server.stop() is False
    assert server.status().record is None
    assert ask(server.start(SILENT), "MATCH (node:Kept) RETURN node.number AS number") == [1]


def test_data_survive_a_kill_and_the_next_start_is_told_nothing(server):
    connection = server.start(SILENT)
    auth = (connection.user, connection.password)
    with neo4j.GraphDatabase.driver(connection.uri, auth=auth, max_transaction_retry_time=0) as driver:
        driver.execute_query("CREATE (:Killed {number: 2})")
        process = psutil.Process(server.running().pid)
        process.kill()
        wait_until_gone(process)
        with pytest.raises(neo4j.exceptions.DriverError) as caught:
            driver.execute_query("RETURN 1", database_="neo4j")
    described = str(describe_driver_error(caught.value, connection))
    assert "does not answer" in described
    assert "attrgraph db start" in described
    assert (server.home / "server.json").exists()
    assert server.running() is None
    assert ask(server.start(SILENT), "MATCH (node:Killed) RETURN node.number AS number") == [2]


def test_a_process_that_has_no_command_line_yet_is_the_server(server, monkeypatch):
    """As on a busy machine, for a moment between its birth and Java."""
    server.start(SILENT)
    record = server.running()
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: [])
    assert server.running() == record


def test_another_process_with_the_pid_is_not_taken_for_the_server(server):
    server.start(SILENT)
    server.stop()
    record_file = server.home / "server.json"
    record_file.write_text(
        f'{{"pid": {os.getpid()}, "process_created": {psutil.Process().create_time()}, "bolt_port": 1, "http_port": 2,'
        ' "neo4j_version": "5", "gds_version": "2", "started_at": 0}'
    )
    assert server.running() is None
    assert server.stop() is False
    record_file.write_text('{"pid": 1')
    assert server.running() is None


def test_two_starts_at_once_give_one_server_on_spare_ports(server):
    """The usual ports are taken meanwhile, and each start is a process of its own."""
    server.stop()
    code = (
        "from pathlib import Path; import sys; from rich.console import Console;"
        "from attrgraph_core.store.embedded.server import EmbeddedServer;"
        f"print(EmbeddedServer(Path(sys.argv[1]), settings={WITHOUT_PLUGINS}).start(Console(quiet=True)).uri)"
    )
    taken = set()
    with contextlib.ExitStack() as stack:
        for port in (7687, 7474):
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # another server has it, which may end at any time
                listener.bind(("127.0.0.1", port))
                listener.listen()
                taken.add(port)
        starts = [
            subprocess.Popen([sys.executable, "-c", code, str(server.home)], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        uris = {start.communicate(timeout=300)[0].strip() for start in starts}
    record = server.running()
    assert [start.returncode for start in starts] == [0, 0]
    assert uris == {record.uri}
    assert not taken & {record.bolt_port, record.http_port}
    argument = f"@{server.home / 'java.arguments'}"
    assert sum(argument in (each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])) == 1


def test_two_homes_started_at_once_are_two_servers(server, home, tmp_path):
    """Both choose the usual ports where those are free; the one that comes second takes others."""
    server.stop()
    script = f"""
import sys
from pathlib import Path
from rich.console import Console
from attrgraph_core.store.embedded.server import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1]), settings={WITHOUT_PLUGINS}).start(Console(quiet=True)).uri)
"""
    homes = [home, tmp_path / "other"]
    try:
        starts = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for folder in homes
        ]
        said = [start.communicate(timeout=300) for start in starts]
        assert [start.returncode for start in starts] == [0, 0], said
        assert len({out for out, _ in said}) == 2
        for folder in homes:
            connection = EmbeddedServer(folder).connection()
            assert connection is not None
            verify(connection)
    finally:
        EmbeddedServer(homes[1]).stop()


def test_a_server_without_its_record_is_ended_by_the_next_start(server):
    """As when the starting process was killed between the server's birth and the note of it."""
    server.start(SILENT)
    lost = psutil.Process(server.running().pid)
    (server.home / "server.json").unlink()
    server.start(SILENT)
    assert not lost.is_running()
    assert server.running().pid != lost.pid


def test_interrupted_start_leaves_no_server(server):
    server.stop()
    code = (
        "from pathlib import Path; import signal; import sys; from rich.console import Console;"
        "from attrgraph_core.store.embedded.server import EmbeddedServer;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # a shell's background job ignores it
        "EmbeddedServer(Path(sys.argv[1])).start(Console(quiet=True))"
    )
    start = subprocess.Popen([sys.executable, "-c", code, str(server.home)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while server.running() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process = psutil.Process(server.running().pid)
    start.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in start.communicate(timeout=300)[1]
    assert not process.is_running()
    assert server.running() is None


def test_a_broken_setting_shows_the_log(tmp_path):
    home = tmp_path / "broken_home"
    broken = EmbeddedServer(home, cache=cache_folder(), settings={"db.tx_log.rotation.size": "a lot"})
    with pytest.raises(AttrGraphError) as caught:
        broken.start(SILENT)
    message = str(caught.value)
    assert message.startswith(f"Neo4j ended while it started.\nThe end of its log, {home / 'logs' / 'java.log'}:\n")
    assert "db.tx_log.rotation.size" in message
    assert "a lot" in message
    assert len(message.splitlines()) <= 17
    assert broken.running() is None


def test_no_answer_in_time_shows_the_log_and_leaves_no_server(tmp_path):
    slow = EmbeddedServer(tmp_path / "slow_home", start_timeout=0.5)
    with pytest.raises(AttrGraphError, match=r"does not answer at bolt://.* after 0 s. ATTRGRAPH_NEO4J_START_TIMEOUT"):
        slow.start(SILENT)
    assert slow.running() is None
