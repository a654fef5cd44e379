"""The embedded server's life: started once a home, found again by any later command, stopped with its data kept.

`server.json` in the home says which process it is: pid and creation time, since a pid alone is given anew after a
reboot. A lock file lets one process at a time start or stop; whoever comes second finds the server that the first one
started.
"""

import contextlib
import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import neo4j
import psutil
from filelock import FileLock, Timeout
from neo4j.exceptions import DriverError, Neo4jError
from rich.console import Console

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection, describe_driver_error
from attrgraph_core.store.embedded import launch
from attrgraph_core.store.embedded.artefacts import (
    Artefact,
    cache_folder,
    fetch_artefacts,
    locked_artefacts,
    locked_version,
)
from attrgraph_core.store.embedded.class_archive import archive_path, make_archive_in_background
from attrgraph_core.store.embedded.home import (
    ensure_password,
    home_folder,
    make_private_folder,
    read_password,
    write_initial_password,
)
from attrgraph_core.store.embedded.store_exchange import STORE_FOLDERS, undo_cut_exchange

USER = "neo4j"
CREDENTIALS_EXPIRED = "Neo.ClientError.Security.CredentialsExpired"
START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.1
CLOCK_TOLERANCE_SECONDS = 60.0
LOG_LINES = 15


@dataclass(frozen=True)
class ServerRecord:
    """One running server, as `server.json` keeps it. Times are seconds since 1970."""

    pid: int
    process_created: float
    bolt_port: int
    http_port: int
    neo4j_version: str
    gds_version: str
    started_at: float

    @property
    def uri(self) -> str:
        """Where drivers connect."""
        return f"bolt://{launch.HOST}:{self.bolt_port}"

    @property
    def browser_url(self) -> str:
        """Where people look."""
        return f"http://{launch.HOST}:{self.http_port}/browser/"


@dataclass(frozen=True)
class ServerStatus:
    """What is known of the server without asking it. `record` and `uptime` (seconds) are None when it is down."""

    record: ServerRecord | None
    home: Path
    password_file: Path
    log: Path
    store_bytes: int
    uptime: float | None


class EmbeddedServer:
    """The Neo4j server of one home folder.

    `home` defaults to ATTRGRAPH_NEO4J_HOME or this user's data folder, `cache` to ATTRGRAPH_CACHE or this user's cache
    folder; `settings` are added to neo4j.conf; `start_timeout` (seconds) defaults to ATTRGRAPH_NEO4J_START_TIMEOUT or
    120.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        cache: Path | None = None,
        settings: Mapping[str, str] | None = None,
        start_timeout: float | None = None,
    ) -> None:
        self.home = (home or home_folder()).absolute()
        self.cache = (cache or cache_folder()).absolute()
        self.settings = dict(settings or {})
        self.start_timeout = start_timeout if start_timeout is not None else _timeout_from_environment()
        self.password_file = self.home / "password"
        self.log = self.home / "logs" / "neo4j.log"
        self._record_file = self.home / "server.json"
        self._arguments = self.home / "java.arguments"
        self._output = self.home / "logs" / "java.log"

    def start(self, console: Console | None = None) -> Connection:
        """Start the server, or find it running, and wait until it answers.

        `console` gets the progress; None is stderr, `Console(quiet=True)` silence. Raises AttrGraphError when the
        server cannot be fetched, dies, or does not answer in time: the message ends with its log. A Ctrl-C takes a
        half-started server along.
        """
        console = console or Console(stderr=True)
        make_private_folder(self.home)
        with self._lock(self.start_timeout + STOP_TIMEOUT_SECONDS):
            password = ensure_password(self.password_file)
            record = self.running()
            if record is None:
                artefacts = locked_artefacts()
                jars = fetch_artefacts(artefacts, self.cache, console=console)
                with _status(console, "Starting Neo4j"):
                    record = self._start_process(password, artefacts, jars)
            elif not self._answers(record, password):
                # Another process was killed while it waited for this server, or something hangs.
                with _status(console, "Waiting for Neo4j"):
                    self._wait_until_it_answers(record, password, self._log_size())
        return Connection(record.uri, USER, password, "embedded")

    def running(self) -> ServerRecord | None:
        """The server of this home if its process lives, else None. Starts, stops and asks nothing."""
        try:
            record = ServerRecord(**json.loads(self._record_file.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None  # none was started, or a crash left half a file
        return record if self._process(record) else None

    def connection(self) -> Connection | None:
        """How to reach the server if it runs, else None. Raises AttrGraphError without a private password file."""
        record = self.running()
        if record is None:
            return None
        return Connection(record.uri, USER, read_password(self.password_file), "embedded")

    def stop(self, timeout: float = STOP_TIMEOUT_SECONDS, force: bool = False) -> bool:
        """Ask the server to stop and wait up to `timeout` seconds; False when none ran.

        `force` kills it, which loses no committed data: Neo4j mends its store at the next start. Raises AttrGraphError
        when it runs on after the timeout.
        """
        if self.running() is None:
            return False
        with self._lock(timeout):
            return self._stop_process(timeout, force)

    @contextlib.contextmanager
    def stopped(self, console: Console | None = None) -> Iterator[None]:
        """A time without the server, for work on its files; it is started again if it ran, whatever happens.

        Nobody else starts it meanwhile: who tries waits. A Ctrl-C that comes while it stops or starts takes effect once
        it runs again. Raises AttrGraphError as `stop` and `start` do.
        """
        make_private_folder(self.home)
        before: ServerRecord | None = None
        try:
            with self._lock(self.start_timeout):
                before = self.running()
                self._stop_process(STOP_TIMEOUT_SECONDS, force=False)
                yield
        finally:
            if before is not None:
                with _interrupts_held():
                    self._start_again(before, console)

    def _start_again(self, before: ServerRecord, console: Console | None) -> None:
        """Start the server, after the process of before has ended: it was told to, and may be at it still."""
        with self._lock(self.start_timeout):
            if self.running() == before:
                self._stop_process(STOP_TIMEOUT_SECONDS, force=False)
        self.start(console)

    def _stop_process(self, timeout: float, force: bool) -> bool:
        record = self.running()
        process = self._process(record) if record else None
        if record is None or process is None:
            self._end_unrecorded()
            return False
        if force:
            process.kill()
        else:
            process.terminate()
        if not _ends(process, timeout):
            raise AttrGraphError(
                f"Neo4j (pid {record.pid}) has not stopped within {timeout:.0f} s; it may still be writing. "
                f"Look again with `attrgraph db status`, or end it: attrgraph db stop --force. Log: {self.log}"
            )
        self._record_file.unlink(missing_ok=True)
        return True

    def status(self) -> ServerStatus:
        """Everything that is known without a connection; starts nothing."""
        record = self.running()
        return ServerStatus(
            record=record,
            home=self.home,
            password_file=self.password_file,
            log=self.log,
            store_bytes=_folder_bytes(self.home / "data"),
            uptime=time.time() - record.process_created if record else None,
        )

    def database_bytes(self) -> int:
        """Bytes on disk of the graphs alone, without logs of transactions."""
        return _folder_bytes(self.home / STORE_FOLDERS[0])

    def _start_process(self, password: str, artefacts: Sequence[Artefact], jars: Sequence[Path]) -> ServerRecord:
        """Start Java and wait; once more on other ports when somebody took ours in between."""
        self._end_unrecorded()
        undo_cut_exchange(self.home)
        java = launch.java_path()
        class_path = os.pathsep.join(str(jar) for jar in jars)
        archive = archive_path(self.cache, java, class_path)
        class_list = self.home / "logs" / "classes.list"
        self.log.parent.mkdir(exist_ok=True)
        write_initial_password(self.home, password)
        launch.link_plugins(self.home, artefacts, jars)
        launch.write_arguments(self._arguments, self.home, class_path, archive, class_list)
        for is_last_attempt in (False, True):
            bolt_port, http_port = launch.choose_ports()
            launch.write_settings(self.home, bolt_port, http_port, self.settings)
            log_size = self._log_size()
            pid = launch.spawn(self._arguments, self._output)
            try:
                record = ServerRecord(
                    pid=pid,
                    process_created=psutil.Process(pid).create_time(),
                    bolt_port=bolt_port,
                    http_port=http_port,
                    neo4j_version=locked_version("neo4j", artefacts),
                    gds_version=locked_version("proc", artefacts),
                    started_at=time.time(),
                )
                self._write_record(record)
                self._wait_until_it_answers(record, password, log_size)
                break
            except BaseException as error:
                # Whatever ended the wait, a Ctrl-C included, leaves no server that nobody knows of.
                _end(pid)
                self._record_file.unlink(missing_ok=True)
                ports_were_taken = isinstance(error, AttrGraphError) and "Address already in use" in str(error)
                if is_last_attempt or not ports_were_taken:
                    raise
        if not archive.exists():
            make_archive_in_background(java, class_path, class_list, archive)
        return record

    def _process(self, record: ServerRecord) -> psutil.Process | None:
        """The record's process if it lives and is this home's server: pids are given anew, after a reboot for one."""
        try:
            process = psutil.Process(record.pid)
            # None yet: on a busy machine a process that was born just now may not have come to its command line.
            is_ours = not (command := process.cmdline()) or f"@{self._arguments}" in command
            # The clock of creation times follows the wall clock, which may have been set meanwhile.
            is_same = abs(process.create_time() - record.process_created) < CLOCK_TOLERANCE_SECONDS
            if process.status() != psutil.STATUS_ZOMBIE:
                return process if is_ours and is_same else None
        except psutil.NoSuchProcess:
            pass
        except psutil.AccessDenied:
            return None
        # A dead child of this very process stays a zombie until somebody asks for its end.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(record.pid, os.WNOHANG)
        return None

    def _listening_ports(self, record: ServerRecord) -> set[int]:
        process = self._process(record)
        if process is None:
            return set()
        try:
            connections = process.net_connections("tcp")
        except psutil.NoSuchProcess:
            return set()
        return {found.laddr.port for found in connections if found.status == psutil.CONN_LISTEN}

    def _end_unrecorded(self) -> None:
        """End a server of this home that `server.json` does not know: its starter was killed between the two."""
        for process in psutil.process_iter(["cmdline"]):
            if f"@{self._arguments}" in (process.info["cmdline"] or []):
                _end(process.pid)

    def _wait_until_it_answers(self, record: ServerRecord, password: str, log_size: int) -> None:
        deadline = time.monotonic() + self.start_timeout
        while not self._answers(record, password):
            if self._process(record) is None:
                raise AttrGraphError(f"Neo4j ended while it started.\n{self._log_tail(log_size)}")
            if time.monotonic() > deadline:
                raise AttrGraphError(
                    f"Neo4j (pid {record.pid}) does not answer at {record.uri} after {self.start_timeout:.0f} s. "
                    f"ATTRGRAPH_NEO4J_START_TIMEOUT (seconds) lets it take longer.\n{self._log_tail(log_size)}"
                )
            time.sleep(POLL_SECONDS)

    def _answers(self, record: ServerRecord, password: str) -> bool:
        """Whether Browser listens and Bolt lets us in. Raises AttrGraphError when Bolt refuses the password.

        No other process is told the password: one that took a port first, another home's server for one.
        """
        if not {record.bolt_port, record.http_port} <= self._listening_ports(record):
            return False
        try:
            with neo4j.GraphDatabase.driver(
                record.uri, auth=(USER, password), connection_timeout=5.0, max_transaction_retry_time=0.0
            ) as driver:
                driver.execute_query("RETURN 1", database_="neo4j")
        except (DriverError, Neo4jError) as error:
            if getattr(error, "code", None) == CREDENTIALS_EXPIRED:
                raise describe_driver_error(error, Connection(record.uri, USER, password, "embedded")) from error
            if isinstance(error, neo4j.exceptions.AuthError):
                raise AttrGraphError(
                    f"Neo4j at {record.uri} refuses the password in {self.password_file}: it was changed elsewhere. "
                    "Write the current one into that file."
                ) from error
            return False
        return True

    @contextlib.contextmanager
    def _lock(self, timeout: float) -> Iterator[None]:
        try:
            with FileLock(self.home / "server.lock", timeout=timeout, mode=0o600):
                yield
        except Timeout:
            raise AttrGraphError(
                f"Another process has been starting or stopping the Neo4j in {self.home} for {timeout:.0f} s. "
                "Try again when it is done."
            ) from None

    def _write_record(self, record: ServerRecord) -> None:
        part = self._record_file.with_suffix(".part")
        part.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
        os.replace(part, self._record_file)

    def _log_size(self) -> int:
        try:
            return self.log.stat().st_size
        except FileNotFoundError:
            return 0

    def _log_tail(self, log_size: int) -> str:
        """What Neo4j, then Java, said last since the log had `log_size` bytes, without stack frames; and its path."""
        lines: deque[str] = deque(maxlen=LOG_LINES)
        speaking = []
        for path, offset in ((self.log, log_size), (self._output, 0)):
            with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
                file.seek(offset if path.stat().st_size >= offset else 0)  # Neo4j renews a log that has grown large
                said = [line.rstrip() for line in file if line.strip() and not line.startswith(("\tat ", "\t..."))]
                lines.extend(said)
                speaking += [str(path)] if said else []
        return "\n".join(
            [f"The end of its log, {' and '.join(speaking) or self.log}:", *(f"  {line}" for line in lines)]
        )


def _timeout_from_environment() -> float:
    text = os.environ.get("ATTRGRAPH_NEO4J_START_TIMEOUT")
    try:
        return float(text) if text else START_TIMEOUT_SECONDS
    except ValueError:
        raise AttrGraphError(f"ATTRGRAPH_NEO4J_START_TIMEOUT is {text!r}, which is no number of seconds.") from None


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """A time in which a Ctrl-C waits for the end of it; in threads, and where it is ignored, there is none to hold."""
    is_heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # a shell's background job ignores it
    if threading.current_thread() is not threading.main_thread() or not is_heard:
        yield
        return
    came = threading.Event()
    handler = signal.signal(signal.SIGINT, lambda *_: came.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
    if came.is_set():
        raise KeyboardInterrupt


def _status(console: Console, text: str) -> contextlib.AbstractContextManager[object]:
    """A spinner on a terminal, else a line."""
    if console.is_terminal:
        return console.status(text)
    console.print(text)
    return contextlib.nullcontext()


def _ends(process: psutil.Process, timeout: float) -> bool:
    """Whether the process is gone within `timeout` seconds."""
    try:
        process.wait(timeout)
    except psutil.TimeoutExpired:
        return False
    return True


def _end(pid: int) -> None:
    """Ask the process to stop, then kill it; returns when it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.terminate()
        if not _ends(process, 10.0):
            process.kill()
            process.wait()


def _folder_bytes(folder: Path) -> int:
    """Bytes on disk of all files under `folder`; 0 if it is not there."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # Neo4j removes files meanwhile
                total += os.stat(os.path.join(parent, name)).st_blocks * 512
    return total
