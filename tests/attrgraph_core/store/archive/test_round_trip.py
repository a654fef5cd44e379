"""What is exported comes back as it was: through the server, and by the offline importer."""

import json
from collections import Counter

import pytest
from rich.console import Console

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.archive import export, importing, offline
from attrgraph_core.store.archive.export import export_runs
from attrgraph_core.store.archive.importing import import_runs
from attrgraph_core.store.archive.manifest import FILE, check_archive
from attrgraph_core.store.archive.offline import import_offline
from attrgraph_core.store.archive.tables import NAMES
from attrgraph_core.store.database import Database
from attrgraph_core.store.embedded.server import EmbeddedServer
from attrgraph_core.store.graph_schema import NODES, RELATIONSHIPS
from attrgraph_core.store.graph_store import GraphStore
from tests.conftest import WITHOUT_PLUGINS

pytestmark = pytest.mark.neo4j


class Killed(Exception):
    """Stands for the end of the process: nothing of ours catches it."""


@pytest.fixture
def archive(store, whole_run, tmp_path):
    export_runs(store._database, tmp_path / "archive", [whole_run])
    return tmp_path / "archive"


def test_the_runs_of_these_tests_hold_every_kind_of_thing_that_the_schema_has(store, matched_runs, contents_of):
    """What is added to the schema has to be in `whole_run`, and so in archives."""
    found = contents_of(store, matched_runs[0])
    labels = Counter(text.split("'")[1] for text in found)
    assert labels == {
        "Experiment": 1, "Run": 1, "Stage": 2, "Snapshot": 3, "AttributionGraph": 3, "NeuronState": 15, "Neuron": 5,
        "Circuit": 1, "NeuronSet": 1,
    }  # fmt: skip
    assert set(labels) == set(NODES) - {"SchemaVersion"}
    assert [kind for kind in {each.kind for each in RELATIONSHIPS} if f"['{kind}'" not in "".join(found)] == []


def test_matched_runs_come_back_with_their_matches(store, matched_runs, contents_of, tmp_path):
    before = [contents_of(store, run_id) for run_id in matched_runs]
    exported = export_runs(store._database, tmp_path / "archive", matched_runs)
    assert (exported.files["matches"].rows, exported.left_out_matches) == (2, 0)
    for run_id in matched_runs:
        store.delete_run(run_id)
    assert import_runs(store._database, tmp_path / "archive") == exported
    assert [contents_of(store, run_id) for run_id in matched_runs] == before
    assert str(before).count("{correlation: 0.5}") == 1


def test_matches_of_a_run_that_is_not_exported_are_counted_and_left_out(store, matched_runs, tmp_path):
    for run_id in matched_runs:
        manifest = export_runs(store._database, tmp_path / run_id, [run_id])
        assert (manifest.files["matches"].rows, manifest.left_out_matches) == (0, 2)
        assert check_archive(tmp_path / run_id).left_out_matches == 2
    for run_id in matched_runs:
        store.delete_run(run_id)
    import_runs(store._database, tmp_path / matched_runs[1])
    assert store.runs()["run_id"].tolist().count(matched_runs[1]) == 1


def test_a_run_comes_back_through_the_server_as_it_was(store, whole_run, archive, contents_of):
    before = contents_of(store, whole_run)
    store.delete_run(whole_run)
    assert contents_of(store, whole_run) == []
    steps = []
    manifest = import_runs(store._database, archive, lambda *step: steps.append(step))
    assert contents_of(store, whole_run) == before
    assert manifest.runs == (whole_run,)
    assert {name: about.rows for name, about in manifest.files.items()} == {
        "runs": 1, "stages": 2, "snapshots": 3, "graphs": 3, "neuron_sets": 1, "circuits": 1, "neurons": 5,
        "circuit_neurons": 3, "neuron_set_neurons": 1, "matches": 0, "states": 15, "edges": 15,
    }  # fmt: skip
    assert steps[-1] == ("graphs imported", 3, 3)


def test_exporting_again_what_was_imported_gives_the_same_rows(store, whole_run, archive, tmp_path):
    store.delete_run(whole_run)
    import_runs(store._database, archive)
    again = export_runs(store._database, tmp_path / "again", [whole_run])
    assert again.files == check_archive(archive).files


def test_an_import_that_was_cut_short_goes_on(store, whole_run, archive, contents_of):
    before = contents_of(store, whole_run)
    whole = Database.write
    for count in range(0, 60, 3):
        store.delete_run(whole_run)
        left = [count]

        def write(self, name, left=left, **parameters):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return whole(self, name, **parameters)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Database, "write", write)
            try:
                import_runs(store._database, archive)
            except Killed:
                state = store.run_cypher("MATCH (r:Run {run_id: $id}) RETURN r.status AS status", {"id": whole_run})
                assert state["status"].tolist() == ["importing"] * (count > 0)
            else:
                break
        import_runs(store._database, archive)
        assert contents_of(store, whole_run) == before
    else:
        pytest.fail("the import never went through")


def test_a_run_whose_deletion_began_while_it_was_imported_stays_in_deletion(store, whole_run, archive, monkeypatch):
    whole = importing.write_the_rest

    def after_a_part_of_its_deletion(database, folder):
        database.write("hide_run", run_id=whole_run, writer="deleter")
        graph_id = f"{whole_run}/stage_1/epoch_1/deeplift/label"
        assert database.write("delete_edges", graph_id=graph_id, writer="deleter", batch_size=2) == [{"deleted": 2}]
        whole(database, folder)

    store.delete_run(whole_run)
    monkeypatch.setattr(importing, "write_the_rest", after_a_part_of_its_deletion)
    with pytest.raises(AttrGraphError, match=r"3 of 3 graphs of the archive .* whose run was deleted meanwhile"):
        import_runs(store._database, archive)
    ends = [{"run_id": whole_run, "status": "complete"}]
    assert store._database.write("import/run_ends", rows=ends) == [{"written": 0}]
    assert store.describe_run(whole_run)[0]["status"] == "deleting"
    assert store.graphs(whole_run).empty


def test_what_is_in_the_store_already_is_refused(store, whole_run, archive, contents_of):
    before = contents_of(store, whole_run)
    with pytest.raises(AttrGraphError, match=f"run '{whole_run}' of the archive is in the store already"):
        import_runs(store._database, archive)
    assert contents_of(store, whole_run) == before


def dies(*_, **__):
    raise Killed


def resume_with_cuts(store, archive):
    """Import what an offline import left, cut short after 0, 4, 8 ... writes; none writes states or edges again."""
    whole, count, written = Database.write, 0, set()
    while True:
        left = [count]

        def write(self, name, left=left, **parameters):
            written.add(name)
            left[0] -= 1
            return whole(self, name, **parameters) if left[0] >= 0 else dies()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Database, "write", write)
            try:
                import_runs(store._database, archive)
            except Killed:
                count += 4
            else:
                break
    assert count > 4
    assert not written & {"begin_graph", "write_states", "write_edges"}


def test_the_offline_importer_gives_the_same_graph(store, matched_runs, contents_of, tmp_path, monkeypatch):
    """It is cut short when the store's files have changed places, and goes on a few writes further each time."""
    whole_run, archive = matched_runs[0], tmp_path / "archive"
    before = [contents_of(store, run_id) for run_id in matched_runs]
    export_runs(store._database, archive, matched_runs)
    (tmp_path / "home").mkdir(mode=0o700)
    server = EmbeddedServer(tmp_path / "home", settings=WITHOUT_PLUGINS)
    try:
        with GraphStore.open(server.start(Console(quiet=True))):
            pass  # an empty store, with its schema
        monkeypatch.setattr(offline, "write_provenance", dies)
        with pytest.raises(Killed):
            import_offline(server, archive)
        with GraphStore.open(server.start(Console(quiet=True))) as other:
            assert other.graphs().empty
            assert other.runs()["status"].tolist() == ["importing"] * 2
            resume_with_cuts(other, archive)
            assert [contents_of(other, run_id) for run_id in matched_runs] == before
            graph_id = f"{whole_run}/stage_1/epoch_1/deeplift/label"
            assert other.graph(graph_id).edges.equals(store.graph(graph_id).edges)
            states = other.run_cypher("SHOW INDEXES YIELD name, state RETURN name, state ORDER BY name")
            assert states.equals(store.run_cypher("SHOW INDEXES YIELD name, state RETURN name, state ORDER BY name"))
        with pytest.raises(AttrGraphError, match="is not empty, and the offline importer makes a store from nothing"):
            import_offline(server, archive)
        assert [path.name for path in server.home.glob("import-*")] == []
    finally:
        server.stop()


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_named_before_anything_is_touched(archive, name):
    path = archive / f"{name}.parquet"
    content = path.read_bytes()
    for damaged in (content[:-1], content[:10] + bytes([content[10] ^ 1]) + content[11:], b"", content + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(AttrGraphError, match=rf"{name}.parquet is not what manifest.json says"):
            import_runs(None, archive)  # there is no server to touch
    path.unlink()
    with pytest.raises(AttrGraphError, match=rf"{name}.parquet is missing from the archive"):
        import_runs(None, archive)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 0}, "is damaged or of another program"),
        ({"version": 2}, "is of version 2, and this attrgraph reads versions up to 1; upgrade attrgraph"),
        ({"schema_version": 99}, "is of schema version 99, and this attrgraph knows"),
        ({"format": "another"}, "is damaged or of another program"),
        ({"files": 3}, "is damaged or of another program"),
        ({"files": {}}, "runs.parquet is missing"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(archive, change, message):
    content = json.loads((archive / FILE).read_text())
    (archive / FILE).write_text(json.dumps({**content, **change}))
    with pytest.raises(AttrGraphError, match=message):
        import_runs(None, archive)


def test_what_is_no_archive_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(AttrGraphError, match=r"is no archive of runs: it has no manifest.json"):
            import_runs(None, folder)
    (tmp_path / FILE).write_text('{"format": "attrgraph-arch')
    with pytest.raises(AttrGraphError, match=r"manifest.json is damaged"):
        import_runs(None, tmp_path)


def test_an_export_that_ends_early_leaves_nothing(store, whole_run, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_runs(store._database, tmp_path / "archive", [whole_run], stop)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_named(store, whole_run, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(AttrGraphError, match=r"there is there already; name a new folder"):
        export_runs(store._database, tmp_path / "there", [whole_run])
    with pytest.raises(AttrGraphError, match="there is no run 'nobody' to export"):
        export_runs(store._database, tmp_path / "archive", ["nobody"])
    store.run_cypher("MATCH (r:Run {run_id: $id}) SET r.status = 'deleting'", {"id": whole_run}, read_only=False)
    with pytest.raises(AttrGraphError, match="is deleting, and not whole"):
        export_runs(store._database, tmp_path / "archive", [whole_run])
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_long_tables_are_read_and_written_in_pieces(store, whole_run, tmp_path, monkeypatch, contents_of):
    before = contents_of(store, whole_run)
    monkeypatch.setattr(export, "ROW_GROUP", 2)
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr("attrgraph_core.store.archive.rows.ROWS_AT_ONCE", 2)
    export_runs(store._database, tmp_path / "archive", [whole_run])
    store.delete_run(whole_run)
    import_runs(store._database, tmp_path / "archive")
    assert contents_of(store, whole_run) == before
