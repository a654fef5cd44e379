import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.embedded.artefacts import (
    Artefact,
    fetch_artefacts,
    format_lock,
    locked_artefacts,
    locked_version,
    parse_lock,
)

SILENT = Console(quiet=True)
SUM_OF_A = hashlib.sha256(b"jar a").hexdigest()
JAR_A = Artefact("org/a/a/1.0/a-1.0.jar", SUM_OF_A, 5, is_plugin=True)
JAR_B = Artefact("org/b/b/2.0/b-2.0.jar", hashlib.sha256(b"jar b!").hexdigest(), 6)


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """A repository on the loopback that holds jars a and b; gives its address."""
    for artefact, content in ((JAR_A, b"jar a"), (JAR_B, b"jar b!")):
        path = tmp_path / "repository" / artefact.path
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    handler = functools.partial(SilentHandler, directory=str(tmp_path / "repository"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.jar*")}


def test_lock_survives_a_round_trip_sorted_by_path():
    text = format_lock([JAR_B, JAR_A], "two jars")
    assert text.splitlines()[0] == "# two jars"
    assert parse_lock(text) == (JAR_A, JAR_B)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (f"org/a.jar {SUM_OF_A}", "line 1: expected `path sha256 size"),
        (f"org/a.jar {SUM_OF_A} 5 module", "line 1: expected `path sha256 size"),
        ("org/a.jar abc 5", "'abc' is no SHA-256 sum"),
        (f"org/a.jar {SUM_OF_A} five", "'five' is no size"),
        (f"../a.jar {SUM_OF_A} 5", "leads out of the cache"),
        (f"/a.jar {SUM_OF_A} 5", "leads out of the cache"),
    ],
)
def test_a_bad_line_of_the_lock_is_named(line, complaint):
    with pytest.raises(AttrGraphError, match=complaint):
        parse_lock(line)


def test_the_committed_lock_holds_neo4j_and_no_host():
    artefacts = locked_artefacts()
    assert locked_version("neo4j", artefacts) == "5.26.30"
    assert locked_version("proc", artefacts) == "2.13.9"
    assert sum(artefact.is_plugin for artefact in artefacts) == 12
    assert not any("//" in artefact.path for artefact in artefacts)


def test_fetched_files_keep_their_order_and_bytes(repository, cache):
    paths = fetch_artefacts([JAR_B, JAR_A], cache, repository, SILENT)
    assert [path.read_bytes() for path in paths] == [b"jar b!", b"jar a"]


def test_a_full_cache_needs_no_repository(repository, cache):
    fetch_artefacts([JAR_A], cache, repository, SILENT)
    paths = fetch_artefacts([JAR_A], cache, "http://127.0.0.1:9", SILENT)
    assert [path.read_bytes() for path in paths] == [b"jar a"]


def test_a_wrong_sum_is_refused_and_nothing_is_kept(repository, cache):
    expected = Artefact(JAR_A.path, "0" * 64, 5)
    with pytest.raises(AttrGraphError, match=rf"a-1.0.jar from .* {SUM_OF_A}, but artefacts.lock names 0000"):
        fetch_artefacts([expected], cache, repository, SILENT)
    assert files(cache) == set()


def test_verify_fetches_a_changed_file_again(repository, cache):
    (path,) = fetch_artefacts([JAR_A], cache, repository, SILENT)
    path.write_bytes(b"jar ?")
    assert fetch_artefacts([JAR_A], cache, repository, SILENT)[0].read_bytes() == b"jar ?"
    assert fetch_artefacts([JAR_A], cache, repository, SILENT, verify=True)[0].read_bytes() == b"jar a"


def test_a_file_the_repository_lacks_is_named(repository, cache):
    missing = Artefact("org/c/c/1.0/c-1.0.jar", "0" * 64, 5)
    with pytest.raises(AttrGraphError, match=r"answered 404 for org/c/c/1.0/c-1.0.jar.*ATTRGRAPH_MAVEN_REPOSITORY"):
        fetch_artefacts([missing], cache, repository, SILENT)
    assert files(cache) == set()


def test_out_of_reach_says_what_to_do_offline(cache, monkeypatch):
    monkeypatch.setattr("attrgraph_core.store.embedded.artefacts.time.sleep", lambda seconds: None)
    with pytest.raises(AttrGraphError, match=r"cannot be fetched from http://127.0.0.1:9.*Offline:.*NEO4J_URI"):
        fetch_artefacts([JAR_A], cache, "http://127.0.0.1:9", SILENT)


def test_several_fetches_at_once_agree(repository, cache):
    threads = [
        threading.Thread(target=fetch_artefacts, args=([JAR_A, JAR_B], cache, repository, SILENT)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files(cache) == {"a-1.0.jar", "b-2.0.jar"}
