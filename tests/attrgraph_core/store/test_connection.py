import neo4j
import pytest
from neo4j.exceptions import Neo4jError, ServiceUnavailable, SessionExpired

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection, describe_driver_error, resolve_connection, verify

EMBEDDED = Connection("bolt://127.0.0.1:7687", "neo4j", "hidden-word", "embedded")
NAMED = Connection("bolt://example:7687", "ada", "hidden-word", "environment")


@pytest.fixture(autouse=True)
def no_server_named(monkeypatch, tmp_path):
    for name in ("NEO4J_URI", "NEO4J_USER", "NEO4J_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ATTRGRAPH_NEO4J_HOME", str(tmp_path / "home"))


def server_error(code: str, message: str) -> Neo4jError:
    return Neo4jError._hydrate_neo4j(code=code, message=message)


def test_the_environment_comes_first(monkeypatch):
    monkeypatch.setenv("NEO4J_URI", "neo4j+s://example:7687")
    monkeypatch.setenv("NEO4J_PASSWORD", "hidden-word")
    assert resolve_connection() == Connection("neo4j+s://example:7687", "neo4j", "hidden-word", "environment")
    monkeypatch.setenv("NEO4J_USER", "ada")
    assert resolve_connection().user == "ada"


def test_a_missing_password_is_named(monkeypatch):
    monkeypatch.setenv("NEO4J_URI", "bolt://example:7687")
    with pytest.raises(AttrGraphError, match=r"bolt://example:7687.*NEO4J_PASSWORD is not set"):
        resolve_connection()


@pytest.mark.parametrize("uri", ["http://example:7474", "example:7687", "bolt://", "bolt:example"])
def test_a_bad_address_is_named(monkeypatch, uri):
    monkeypatch.setenv("NEO4J_URI", uri)
    monkeypatch.setenv("NEO4J_PASSWORD", "hidden-word")
    with pytest.raises(AttrGraphError, match=f"NEO4J_URI is '{uri}'.*bolt://localhost:7687"):
        resolve_connection()


def test_an_address_with_a_password_is_refused_and_not_shown(monkeypatch):
    monkeypatch.setenv("NEO4J_URI", "bolt://ada:hidden-word@example:7687")
    with pytest.raises(AttrGraphError, match="user or a password before an '@'") as caught:
        resolve_connection()
    assert "hidden-word" not in str(caught.value)


def test_without_starting_the_way_to_start_is_told(tmp_path):
    with pytest.raises(AttrGraphError, match=r"embedded server of .* is not running. Start it: attrgraph db start"):
        resolve_connection(start_embedded=False)
    assert not (tmp_path / "home").exists()


def test_nobody_there():
    with pytest.raises(AttrGraphError, match=r"Neo4j at bolt://127.0.0.1:9 does not answer.*NEO4J_URI") as caught:
        verify(Connection("bolt://127.0.0.1:9", "neo4j", "hidden-word", "environment"))
    assert len(str(caught.value).splitlines()) == 1


def test_an_address_the_driver_refuses():
    with pytest.raises(AttrGraphError, match=r"'ftp://127.0.0.1' is no address of a Neo4j server"):
        verify(Connection("ftp://127.0.0.1", "neo4j", "hidden-word", "environment"))


@pytest.mark.neo4j
def test_a_server_that_answers_passes_and_a_wrong_password_does_not(neo4j_connection):
    verify(neo4j_connection)
    with pytest.raises(
        AttrGraphError, match=r"refuses user 'neo4j' or the password. Check NEO4J_USER and NEO4J_PASSWORD"
    ):
        verify(Connection(neo4j_connection.uri, "neo4j", "hidden-word", "environment"))


@pytest.mark.neo4j
def test_a_syntax_error_of_the_server_becomes_a_line(neo4j_connection, neo4j_driver):
    with pytest.raises(neo4j.exceptions.ClientError) as caught:
        neo4j_driver.execute_query("RETURN 1 +")
    described = str(describe_driver_error(caught.value, neo4j_connection))
    assert "Neo.ClientError.Statement.SyntaxError: Invalid input" in described
    assert len(described.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "connection", "expected"),
    [
        (ServiceUnavailable("gone"), EMBEDDED, r"does not answer.*Start it again: attrgraph db start. \(gone\)"),
        (
            SessionExpired("cut off\nat line 2"),
            NAMED,
            r"bolt://example:7687 does not answer.*NEO4J_URI right\? \(cut off\)",
        ),
        (server_error("Neo.ClientError.Security.Unauthorized", "no"), NAMED, "refuses user 'ada'.*NEO4J_PASSWORD"),
        (server_error("Neo.ClientError.Security.Unauthorized", "no"), EMBEDDED, "the password file"),
        (
            server_error("Neo.ClientError.Security.AuthenticationRateLimit", "no"),
            NAMED,
            "too many wrong passwords.*Wait 5 s",
        ),
        (
            server_error("Neo.DatabaseError.General.UnknownError", "No space left on device"),
            NAMED,
            "has no space left",
        ),
        (server_error("Neo.TransientError.General.MemoryPoolOutOfMemoryError", "x"), EMBEDDED, "ATTRGRAPH_NEO4J_HEAP"),
        (server_error("Neo.TransientError.General.DatabaseUnavailable", "x"), NAMED, "its database is not available"),
        (server_error("Neo.ClientError.Statement.AccessMode", "x"), NAMED, "by a query that may only read"),
        (server_error("Neo.ClientError.Schema.ConstraintValidationFailed", "twice"), NAMED, "ValidationFailed: twice"),
    ],
)
def test_errors_name_the_address_and_the_way_out(error, connection, expected):
    described = describe_driver_error(error, connection)
    with pytest.raises(AttrGraphError, match=expected):
        raise described
    assert connection.uri in str(described)
    assert "hidden-word" not in str(described)
    assert len(str(described).splitlines()) == 1


@pytest.mark.parametrize("scheme", ["bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"])
def test_every_scheme_of_neo4j_reaches_the_driver_as_it_is(monkeypatch, scheme):
    monkeypatch.setenv("NEO4J_URI", f"{scheme}://graphs.example:7687")
    monkeypatch.setenv("NEO4J_PASSWORD", "secret-word")
    connection = resolve_connection()
    assert connection.uri == f"{scheme}://graphs.example:7687"
    auth = (connection.user, connection.password)
    with neo4j.GraphDatabase.driver(connection.uri, auth=auth) as driver:
        assert driver.encrypted == ("+" in scheme)
