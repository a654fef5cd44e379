"""The jar files that make up Neo4j: which they are (`artefacts.lock`), and their way into the local cache.

The lock names every file by its path in a Maven repository, its SHA-256 sum and its size, and no host: any repository
that holds these very bytes serves. A file enters the cache only after its sum was found right, by an atomic rename, so
at later starts a file of the right size under its final name is taken for good (`verify=True` sums it up again).
"""

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx
import platformdirs
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from attrgraph_core.errors import AttrGraphError

LOCK_PATH = Path(__file__).with_name("artefacts.lock")
PARALLEL_DOWNLOADS = 16
ATTEMPTS = 4
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Artefact:
    """One jar file. `path` is relative to the repository and to the cache; `size` counts bytes.

    A plugin is a jar whose classes declare procedures or functions: Neo4j scans each for them at every start, so only
    those are put before it (a third of all start time otherwise).
    """

    path: str
    sha256: str
    size: int
    is_plugin: bool = False

    @property
    def name(self) -> str:
        """`neo4j-5.26.30.jar` of `org/neo4j/neo4j/5.26.30/neo4j-5.26.30.jar`."""
        return PurePosixPath(self.path).name

    @property
    def version(self) -> str:
        """`5.26.30` of `org/neo4j/neo4j/5.26.30/neo4j-5.26.30.jar`."""
        return PurePosixPath(self.path).parent.name


def parse_lock(text: str) -> tuple[Artefact, ...]:
    """The artefacts of a lock: a line `path sha256 size [plugin]` each; `#` opens a comment. Raises AttrGraphError."""
    artefacts = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) not in (3, 4) or words[3:] not in ([], ["plugin"]):
            raise AttrGraphError(
                f"artefacts.lock, line {number}: expected `path sha256 size [plugin]`, found {line!r}."
            )
        path, sha256, size = words[:3]
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise AttrGraphError(f"artefacts.lock, line {number}: {path!r} leads out of the cache.")
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise AttrGraphError(f"artefacts.lock, line {number}: {sha256!r} is no SHA-256 sum (64 hex digits).")
        if not size.isdecimal():
            raise AttrGraphError(f"artefacts.lock, line {number}: {size!r} is no size in bytes.")
        artefacts.append(Artefact(path, sha256, int(size), is_plugin=len(words) == 4))
    return tuple(artefacts)


def format_lock(artefacts: Iterable[Artefact], header: str) -> str:
    """The text that `parse_lock` reads, sorted by path, under `header` as a comment."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    for artefact in sorted(artefacts, key=lambda artefact: artefact.path):
        plugin = " plugin" if artefact.is_plugin else ""
        lines.append(f"{artefact.path} {artefact.sha256} {artefact.size}{plugin}")
    return "\n".join(lines) + "\n"


def locked_artefacts() -> tuple[Artefact, ...]:
    """The artefacts of the committed lock."""
    return parse_lock(LOCK_PATH.read_text(encoding="utf-8"))


def locked_version(name: str, artefacts: Iterable[Artefact]) -> str:
    """The version of the artefact called `name` (`neo4j`, `proc`). Raises LookupError when the lock has none."""
    for artefact in artefacts:
        if PurePosixPath(artefact.path).parent.parent.name == name:
            return artefact.version
    raise LookupError(name)


def cache_folder() -> Path:
    """ATTRGRAPH_CACHE, or this user's cache folder."""
    return Path(os.environ.get("ATTRGRAPH_CACHE") or platformdirs.user_cache_dir("attrgraph")).expanduser().absolute()


def repository_address() -> str:
    """ATTRGRAPH_MAVEN_REPOSITORY (a mirror, a proxy), or the public Maven repository."""
    address = os.environ.get("ATTRGRAPH_MAVEN_REPOSITORY")
    if address:
        return address
    # Imported late: a start from a full cache needs neither the address nor the second that jgo takes to import.
    from jgo.constants import MAVEN_CENTRAL_URL

    return str(MAVEN_CENTRAL_URL)


def sha256_of(path: Path) -> str:
    """The SHA-256 sum of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_artefacts(
    artefacts: Sequence[Artefact],
    cache: Path,
    repository: str | None = None,
    console: Console | None = None,
    verify: bool = False,
) -> list[Path]:
    """Put every artefact that is missing into `cache`; give all their paths, in order.

    `console` gets one line, or a bar on a terminal, and only when something is missing; None is stderr,
    `Console(quiet=True)` silence. `verify` sums up what is already there as well. Processes that fetch into the same
    cache take turns. Raises AttrGraphError when the repository is out of reach, lacks a file, or sends other bytes than
    the lock names.
    """
    folder = cache / "artefacts"

    def missing() -> list[Artefact]:
        return [artefact for artefact in artefacts if not _is_cached(artefact, folder, verify)]

    if missing():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / "download.lock"):
                wanted = missing()  # another process may have fetched them while we waited
                if wanted:
                    _download_all(wanted, folder, repository or repository_address(), console or Console(stderr=True))
        except OSError as error:
            raise AttrGraphError(
                f"Neo4j's files cannot be kept in {folder}: {error.strerror or error}. "
                "Make room there, or name another folder in ATTRGRAPH_CACHE."
            ) from error
    return [folder / artefact.path for artefact in artefacts]


def _is_cached(artefact: Artefact, folder: Path, verify: bool) -> bool:
    path = folder / artefact.path
    try:
        has_right_size = path.stat().st_size == artefact.size
    except FileNotFoundError:
        return False
    return has_right_size and (not verify or sha256_of(path) == artefact.sha256)


def _download_all(artefacts: Sequence[Artefact], folder: Path, repository: str, console: Console) -> None:
    total = sum(artefact.size for artefact in artefacts)
    if not console.is_terminal:
        console.print(
            f"Fetching Neo4j, {len(artefacts)} files, {total / 1e6:.0f} MB, once, into {folder}", soft_wrap=True
        )
    progress = Progress(
        TextColumn("Fetching Neo4j (once)"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    limits = httpx.Limits(max_connections=PARALLEL_DOWNLOADS, max_keepalive_connections=PARALLEL_DOWNLOADS)
    with (
        progress,
        httpx.Client(limits=limits, timeout=httpx.Timeout(30.0), follow_redirects=True) as client,
        ThreadPoolExecutor(PARALLEL_DOWNLOADS, thread_name_prefix="artefact") as pool,
    ):
        task = progress.add_task("", total=total)
        # The largest first: the last to end is then a small one.
        by_size = sorted(artefacts, key=lambda artefact: -artefact.size)
        downloads = [pool.submit(_download, each, folder, repository, client, progress, task) for each in by_size]
        try:
            for download in as_completed(downloads):
                download.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _download(
    artefact: Artefact, folder: Path, repository: str, client: httpx.Client, progress: Progress, task: TaskID
) -> None:
    """Fetch one file, trying again when the network or the repository stumbles."""
    path = folder / artefact.path
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    address = f"{repository.rstrip('/')}/{artefact.path}"
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = _receive(address, part, client, progress, task)
                break
            except httpx.HTTPError as error:
                status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
                is_transient = status is None or status == 429 or status >= 500
                if is_transient and attempt < ATTEMPTS:
                    time.sleep(0.5 * 2**attempt)
                    continue
                raise AttrGraphError(_unreachable(artefact, repository, error, status)) from error
        if found != artefact.sha256:
            raise AttrGraphError(
                f"{artefact.name} from {repository} has the SHA-256 sum {found}, but artefacts.lock names "
                f"{artefact.sha256}. "
                "The file was not kept. Try again; if it stays so, the repository (ATTRGRAPH_MAVEN_REPOSITORY) serves "
                "something else."
            )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _receive(address: str, part: Path, client: httpx.Client, progress: Progress, task: TaskID) -> str:
    """Write the body of `address` to `part`; give its SHA-256 sum. What a failed attempt counted is taken back."""
    digest = hashlib.sha256()
    received = 0
    try:
        with client.stream("GET", address) as response, part.open("wb") as file:
            response.raise_for_status()
            for chunk in response.iter_bytes(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                progress.advance(task, len(chunk))
    except BaseException:
        progress.advance(task, -received)
        raise
    return digest.hexdigest()


def _unreachable(artefact: Artefact, repository: str, error: httpx.HTTPError, status: int | None) -> str:
    if status is not None:
        return (
            f"{repository} answered {status} for {artefact.path}. "
            "Is ATTRGRAPH_MAVEN_REPOSITORY the base address of a Maven repository?"
        )
    return (
        f"Neo4j's files cannot be fetched from {repository}: {error or type(error).__name__}. "
        "This is needed once, and online. Offline: copy the cache of a machine that has them and name it in "
        "ATTRGRAPH_CACHE, or set NEO4J_URI to a server that runs elsewhere."
    )
