"""Backup and restore on a real server: the same counts and checksums come back, and failure loses nothing.

`schema_001.dump` is a backup of a store of schema version 1 alone, with a run of two graphs; a store that old is
restored and brought up to date.
"""

import errno
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest
from rich.console import Console
from typer.testing import CliRunner

from attrgraph_cli.db import app
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.sparsify import sparsify
from attrgraph_core.store.database import Database
from attrgraph_core.store.embedded.backup import backup, restore
from attrgraph_core.store.embedded.dump_file import is_whole_dump
from attrgraph_core.store.embedded.server import EmbeddedServer
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.graph_writer import content_hash
from attrgraph_core.store.queries import load_query
from attrgraph_core.store.schema import applied_versions, schema_files
from tests.conftest import WITHOUT_PLUGINS
from tests.small_disk import small_disk

pytestmark = pytest.mark.neo4j
SILENT = Console(quiet=True)
OLD_DUMP = Path(__file__).with_name("schema_001.dump")
OLD_COUNTS = (23, 37)  # nodes, relationships
OLD_HASHES = {  # as noted when they were written, by a version that hashed less, and as read now
    f"old/stage_1/epoch_{epoch}/deeplift/label": (
        "e95eb2fb11bb5704052e5d12928dceeda75da479cc9a4d24868fae69593f3332",
        "98d4811d9455e30c8f0e9fcbd63f1b2629aae673b1cb15569eadf256b46b9c86",
    )
    for epoch in (0, 1)
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("backup_home")
    folder.chmod(0o700)
    server = EmbeddedServer(folder, settings=WITHOUT_PLUGINS)
    yield server
    server.stop()


def hashes(store: GraphStore) -> dict[str, tuple[str, str]]:
    """Checksums of each graph: the one that is kept with it, and one of its neurons and edges as they are read."""
    table = store.run_cypher("MATCH (g:AttributionGraph) RETURN g.graph_id AS graph_id, g.content_hash AS hash")
    noted = table.set_index("graph_id")["hash"].to_dict()
    return {
        graph_id: (kept, content_hash(sparsify(store.graph(graph_id), edge_mass=1.0)))
        for graph_id, kept in noted.items()
    }


def test_an_older_store_is_restored_and_brought_up_to_date(server, monkeypatch):
    """Into a home that has never been started."""
    restore(server, OLD_DUMP, console=SILENT)
    connection = server.start(SILENT)
    database = Database(connection)
    try:
        assert list(applied_versions(database.driver, connection)) == [1]
        counts = database.read(load_query("lookup/store_counts"), {}).iloc[0]
        assert tuple(counts) == OLD_COUNTS
    finally:
        database.close()
    monkeypatch.delenv("NEO4J_URI", raising=False)
    monkeypatch.setenv("ATTRGRAPH_NEO4J_HOME", str(server.home))
    checked = CliRunner().invoke(app, ["migrate", "--check"])
    assert checked.exit_code == 1
    assert f"{len(schema_files()) - 1} to apply" in checked.output
    migrated = CliRunner().invoke(app, ["migrate"])
    assert migrated.exit_code == 0, migrated.output
    assert migrated.output.count("applied now") == len(schema_files()) - 1
    with GraphStore.open(connection) as store:
        assert hashes(store) == OLD_HASHES
        assert store.counts() == (OLD_COUNTS[0] + len(schema_files()) - 1, OLD_COUNTS[1])
        (latest,) = store.query("latest_graph").to_dict("records")
        assert store.graph(latest["graph_id"]).edges["weight"].tolist() == [2.0, -1.0, -4.0, 1.0, -2.0]
        online = store.run_cypher("SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN collect(name) AS names")
        assert {"neuron_run", "state_graph"} <= set(online["names"][0])


def test_what_was_backed_up_comes_back_and_the_server_runs_on(server, tmp_path):
    connection = server.start(SILENT)
    file = tmp_path / "graphs.dump"
    with GraphStore.open(connection) as store:
        before = store.counts(), hashes(store)
    size = backup(server, file, console=SILENT)
    assert (size, stat.S_IMODE(file.stat().st_mode)) == (file.stat().st_size, 0o600)
    connection = server.connection()
    assert connection is not None  # started again
    with GraphStore.open(connection) as store:
        store.delete_run("old")
        assert hashes(store) == {}
        store.save_run("later", "archive", seed=1, config_hash="c", code_version="v")
    with pytest.raises(AttrGraphError, match="holds graphs, and a restore replaces them all"):
        restore(server, file, console=SILENT)
    restore(server, file, force=True, console=SILENT)
    with GraphStore.open(server.connection()) as store:
        assert (store.counts(), hashes(store)) == before
    assert not (server.home / "replaced").exists()
    assert not (server.home / "restoring").exists()
    # What is refused is refused before the server is touched.
    record = server.running()
    with pytest.raises(AttrGraphError, match="is there already"):
        backup(server, file, console=SILENT)
    with pytest.raises(AttrGraphError, match="there is no folder"):
        backup(server, tmp_path / "nowhere" / "graphs.dump", console=SILENT)
    with pytest.raises(AttrGraphError, match="there is no file"):
        restore(server, tmp_path / "nothing.dump", force=True, console=SILENT)
    whole = file.read_bytes()
    broken = {
        "text": (b"this is no dump", "Not a valid Neo4j archive"),
        "half": (whole[: len(whole) // 2], "it is cut short"),
    }
    for name, (content, reason) in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AttrGraphError, match=f"{name} cannot be restored, and nothing was changed.*{reason}"):
            restore(server, tmp_path / name, force=True, console=SILENT)
    assert server.running() == record
    with GraphStore.open(server.connection()) as store:
        assert hashes(store) == OLD_HASHES
    assert {path.name for path in tmp_path.iterdir()} == {"graphs.dump", "text", "half"}


def test_a_disk_that_is_full_leaves_the_backup_of_before(server, tmp_path):
    """16 KB, one page of which the file of before takes; a dump of this store has some 20 KB."""
    server.start(SILENT)
    with small_disk(tmp_path, "16k") as disk:
        if disk is None:
            pytest.skip("mounting a small disk is not permitted here")
        file = disk / "graphs.dump"
        with pytest.raises(AttrGraphError, match=r"no new backup .* no file was left.*No space left on device"):
            backup(server, file, console=SILENT)
        assert list(disk.iterdir()) == []
        file.write_bytes(b"the backup of before")
        with pytest.raises(AttrGraphError, match=r"the one of before is as it was.*No space left on device"):
            backup(server, file, force=True, console=SILENT)
        assert [path.name for path in disk.iterdir()] == ["graphs.dump"]
        assert file.read_bytes() == b"the backup of before"
    assert server.running() is not None  # again


def test_a_dump_that_ends_too_soon_is_no_backup(server, tmp_path, monkeypatch):
    """Whatever the tool reports."""
    file = tmp_path / "graphs.dump"

    def cut(arguments, **about):
        (folder,) = [text.removeprefix("--to-path=") for text in arguments if text.startswith("--to-path=")]
        Path(folder, "neo4j.dump").write_bytes(OLD_DUMP.read_bytes()[:10_000])

    monkeypatch.setattr("attrgraph_core.store.embedded.backup.run_admin_tool", cut)
    with pytest.raises(AttrGraphError, match="ends in the middle"):
        backup(server, file, console=SILENT)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_on_a_disk_that_does_not_sync_folders_is_one(server, tmp_path, monkeypatch):
    server.start(SILENT)
    file = tmp_path / "graphs.dump"
    file.write_bytes(b"the backup of before")
    whole = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        whole(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert backup(server, file, force=True, console=SILENT) == file.stat().st_size
    assert is_whole_dump(file)


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard, where these tests are a shell's background job, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("moment", ["while it stops", "while the tool works", "while it starts again"])
def test_after_a_ctrl_c_the_server_runs_and_there_is_no_half_backup(server, tmp_path, monkeypatch, moment):
    before = server.start(SILENT)
    with GraphStore.open(before) as store:
        counts = store.counts()
    place = {
        "while it stops": "attrgraph_core.store.embedded.server._ends",
        "while the tool works": "attrgraph_core.store.embedded.backup.run_admin_tool",
        "while it starts again": "attrgraph_core.store.embedded.launch.spawn",
    }[moment]
    whole = resolve_name(place.rpartition(".")[0] + ":" + place.rpartition(".")[2])
    times = []

    def interrupted(*given, **named):
        times.append(moment)
        if len(times) == 1:
            signal.raise_signal(signal.SIGINT)
        return whole(*given, **named)

    monkeypatch.setattr(place, interrupted)
    old = server.running()
    with pytest.raises(KeyboardInterrupt):
        backup(server, tmp_path / "graphs.dump", console=SILENT)
    monkeypatch.undo()
    assert server.running() not in (None, old)
    assert [path.name for path in tmp_path.iterdir()] == (["graphs.dump"] if moment == "while it starts again" else [])
    with GraphStore.open(server.connection()) as store:
        assert store.counts() == counts
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_to_back_up(tmp_path):
    with pytest.raises(AttrGraphError, match="there is nothing to back up"):
        backup(EmbeddedServer(tmp_path / "home"), tmp_path / "graphs.dump")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_server_of_the_environment_is_backed_up_where_it_runs(monkeypatch, tmp_path, command):
    monkeypatch.setenv("NEO4J_URI", "bolt://127.0.0.1:9")
    result = CliRunner().invoke(app, [command, str(tmp_path / "graphs.dump")])
    assert isinstance(result.exception, AttrGraphError)
    assert "neo4j-admin database" in str(result.exception)
