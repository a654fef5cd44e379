import socket

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.embedded.artefacts import Artefact
from attrgraph_core.store.embedded.launch import choose_ports, is_free_port, link_plugins, write_settings


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_replaced_and_a_free_one_kept(taken_port):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    first, second = choose_ports((taken_port, free_port))
    assert not is_free_port(taken_port)
    assert first not in (taken_port, free_port)
    assert is_free_port(first)
    assert second == free_port


def test_extra_settings_win(tmp_path):
    write_settings(tmp_path, 7687, 7474, {"server.https.enabled": "maybe", "db.format": "aligned"})
    lines = (tmp_path / "conf" / "neo4j.conf").read_text().splitlines()
    assert [line for line in lines if "https" in line] == ["server.https.enabled=maybe"]
    assert "server.bolt.listen_address=127.0.0.1:7687" in lines
    assert "db.format=aligned" in lines


def test_an_amount_of_memory_must_look_like_one(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTRGRAPH_NEO4J_PAGE_CACHE", "lots")
    with pytest.raises(AttrGraphError, match=r"ATTRGRAPH_NEO4J_PAGE_CACHE is 'lots'.*512m or 2g"):
        write_settings(tmp_path, 7687, 7474, {})


def test_links_of_an_earlier_version_go(tmp_path):
    plugin = Artefact("g/proc/2/proc-2.jar", "0" * 64, 1, is_plugin=True)
    library = Artefact("g/core/2/core-2.jar", "0" * 64, 1)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "proc-1.jar").symlink_to(tmp_path / "proc-1.jar")
    (tmp_path / "plugins" / "mine.jar").touch()
    for _ in range(2):
        link_plugins(tmp_path, [plugin, library], [tmp_path / "proc-2.jar", tmp_path / "core-2.jar"])
        assert {path.name for path in (tmp_path / "plugins").iterdir()} == {"mine.jar", "proc-2.jar"}
