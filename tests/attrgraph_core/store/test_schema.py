import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store import schema
from attrgraph_core.store.graph_store import GraphStore

pytestmark = pytest.mark.neo4j

DELETE_VERSION = "MATCH (version:SchemaVersion {version: $version}) DELETE version"


def test_every_id_is_unique_and_every_look_up_has_an_index(store):
    constraints = store.run_cypher("SHOW CONSTRAINTS YIELD labelsOrTypes, properties")
    unique = {(row.labelsOrTypes[0], *row.properties) for row in constraints.itertuples()}
    assert unique == {
        ("Experiment", "name"), ("Run", "run_id"), ("Stage", "stage_id"), ("Snapshot", "snapshot_id"),
        ("AttributionGraph", "graph_id"), ("Circuit", "circuit_id"), ("NeuronSet", "neuron_set_id"),
        ("Neuron", "run_id", "layer", "index"), ("NeuronState", "graph_id", "layer", "index"),
        ("SchemaVersion", "version"),
    }  # fmt: skip
    states = store.run_cypher("SHOW INDEXES YIELD state RETURN DISTINCT state")
    assert states["state"].tolist() == ["ONLINE"]


def test_applying_again_does_nothing(store, neo4j_driver):
    assert schema.apply_schema(neo4j_driver, store.connection) == []
    recorded = store.run_cypher("MATCH (v:SchemaVersion) RETURN v.version AS version, v.hash AS hash ORDER BY version")
    files = schema.schema_files()
    assert recorded.to_numpy().tolist() == [[version, query.hash] for version, query in files.items()]


def test_a_file_added_later_is_applied(store, neo4j_driver, monkeypatch):
    files = schema.schema_files()
    added = max(files) + 1
    text = "CREATE INDEX added_later IF NOT EXISTS FOR (run:Run) ON (run.seed)"
    query = dataclasses.replace(files[1], name="added", text=text, hash="new")
    monkeypatch.setattr(schema, "schema_files", lambda: {**files, added: query})
    try:
        assert schema.apply_schema(neo4j_driver, store.connection) == [added]
        assert schema.apply_schema(neo4j_driver, store.connection) == []
    finally:
        store.run_cypher("DROP INDEX added_later IF EXISTS", read_only=False)
        store.run_cypher(DELETE_VERSION, {"version": added}, read_only=False)


def test_a_newer_database_is_refused(store):
    newer = {"version": 999}
    store.run_cypher("CREATE (:SchemaVersion {version: $version, name: 'later', hash: 'x'})", newer, read_only=False)
    try:
        with pytest.raises(AttrGraphError, match="has schema version 999, and this attrgraph knows versions up to"):
            GraphStore.open(store.connection)
    finally:
        store.run_cypher(DELETE_VERSION, newer, read_only=False)


def test_a_file_that_changed_after_it_was_applied_is_refused(store, neo4j_driver, monkeypatch):
    files = schema.schema_files()
    monkeypatch.setattr(schema, "schema_files", lambda: {**files, 1: dataclasses.replace(files[1], hash="another")})
    with pytest.raises(AttrGraphError, match="001_identities is another than the one this database was made with"):
        schema.apply_schema(neo4j_driver, store.connection)


@pytest.mark.parametrize("clients", [2, 3, 8])
def test_many_may_apply_at_once_to_an_empty_store(store, clients):
    """Each by a driver of its own, as first opens are."""
    expected = rules(store)
    barrier = threading.Barrier(clients)

    def open_store(_):
        barrier.wait(60)
        GraphStore.open(store.connection).close()

    try:
        for _ in range(3):
            drop_everything(store)
            assert rules(store) == []
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(open_store, range(clients)))
            assert rules(store) == expected
    finally:
        GraphStore.open(store.connection).close()


def rules(store):
    """The names of all constraints and indexes but those that Neo4j makes itself."""
    text = "SHOW {} YIELD name, type WHERE type <> 'LOOKUP' RETURN name, type ORDER BY name"
    return [row for kind in ("CONSTRAINT", "INDEX") for row in store.run_cypher(text.format(kind)).to_numpy().tolist()]


def drop_everything(store):
    """Leave the store without constraints, indexes and versions, as a new one is."""
    for kind in ("CONSTRAINT", "INDEX"):
        names = store.run_cypher(f"SHOW {kind} YIELD name, type WHERE type <> 'LOOKUP' RETURN name")["name"]
        for name in names:
            store.run_cypher(f"DROP {kind} {name}", read_only=False)
    store.run_cypher("MATCH (version:SchemaVersion) DELETE version", read_only=False)
