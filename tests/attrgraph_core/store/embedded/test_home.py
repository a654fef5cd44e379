import stat
from pathlib import Path

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.embedded.home import ensure_password, hash_password, make_private_folder, read_password


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    make_private_folder(folder)
    return folder


def test_home_and_password_are_for_one_user(home):
    password = ensure_password(home / "password")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "password").stat().st_mode) == 0o600
    assert len(password) == 32
    assert ensure_password(home / "password") == password


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_an_open_password_file_is_refused(home, mode):
    ensure_password(home / "password")
    (home / "password").chmod(mode)
    with pytest.raises(AttrGraphError, match=rf"open to other users \(mode {mode:o}\). Close it: chmod 600 "):
        read_password(home / "password")


def test_an_open_home_is_refused(home):
    home.chmod(0o755)
    with pytest.raises(AttrGraphError, match=r"open to other users \(mode 755\). Close it: chmod 700 "):
        make_private_folder(home)


def test_an_empty_password_file_of_a_new_server_is_filled(home):
    (home / "password").touch(mode=0o600)
    assert len(ensure_password(home / "password")) == 32


def test_a_lost_password_is_not_replaced_once_there_are_data(home):
    (home / "data" / "databases" / "system").mkdir(parents=True)
    with pytest.raises(AttrGraphError, match=r"password file .* is missing"):
        ensure_password(home / "password")


def test_a_home_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AttrGraphError, match="ATTRGRAPH_NEO4J_HOME"):
        make_private_folder(tmp_path / "file" / "home")


def test_hash_is_the_one_neo4j_admin_writes():
    """What `neo4j-admin dbms set-initial-password secretsecret` wrote for this salt."""
    salt = bytes.fromhex("8287dfc54f5058013b0367b55b4b87720ddabe62fba631fc27e4aa5bed51dca9")
    assert hash_password("secretsecret", salt) == (
        "neo4j:SHA-256,65aca5203aefc9bcabf006b278cec74f29a059338b8f6281b773b65d4896e91a,"
        "8287dfc54f5058013b0367b55b4b87720ddabe62fba631fc27e4aa5bed51dca9,1024:\n"
    )
