"""The embedded server's folder and its password, both for the eyes of one user only.

The password is made once, before the server ever runs, and given to Neo4j as the hash it keeps in `auth.ini` for a
first start: the server never answers to a default password, and a crash between the two files mends itself, since the
hash is written anew from the password before every start and read by Neo4j only while its `system` database has no
user.
"""

import hashlib
import os
import secrets
import stat
from pathlib import Path

import platformdirs

from attrgraph_core.errors import AttrGraphError

HASH_ITERATIONS = 1024
SALT_BYTES = 32


def home_folder() -> Path:
    """ATTRGRAPH_NEO4J_HOME, or `neo4j` in this user's data folder."""
    named = os.environ.get("ATTRGRAPH_NEO4J_HOME")
    home = Path(named) if named else Path(platformdirs.user_data_dir("attrgraph")) / "neo4j"
    return home.expanduser().absolute()


def make_private_folder(folder: Path) -> None:
    """Make `folder` for this user alone (mode 0700). Raises AttrGraphError when it is there and others may enter it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise AttrGraphError(
            f"The embedded Neo4j cannot have its home in {folder}: {error.strerror}. "
            "Name another folder in ATTRGRAPH_NEO4J_HOME."
        ) from error
    refuse_others(folder, "700")


def refuse_others(path: Path, mode: str) -> None:
    """Raise AttrGraphError when `path` is another user's, or its mode lets others in; `mode` is the one to have."""
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise AttrGraphError(f"{path} belongs to another user. Name a folder of your own in ATTRGRAPH_NEO4J_HOME.")
    found = stat.S_IMODE(status.st_mode)
    if found & 0o077:
        raise AttrGraphError(f"{path} is open to other users (mode {found:03o}). Close it: chmod {mode} {path}")


def read_password(path: Path) -> str:
    """The password kept in `path`. Raises AttrGraphError when it is missing, empty, or open to other users."""
    try:
        refuse_others(path, "600")
        password = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise AttrGraphError(
            f"The embedded Neo4j's password file {path} is missing. Put it back from a backup; without it the data "
            "beside it stay shut, and ATTRGRAPH_NEO4J_HOME can name an empty folder for a new server."
        ) from None
    if not password:
        raise AttrGraphError(f"The embedded Neo4j's password file {path} is empty. Put it back from a backup.")
    return password


def ensure_password(path: Path) -> str:
    """The password kept in `path`, made now (mode 0600) for a new server. Raises AttrGraphError as `read_password`."""
    is_new_server = not (path.parent / "data" / "databases" / "system").exists()
    if is_new_server and not (path.exists() and path.stat().st_size):
        path.unlink(missing_ok=True)  # an empty file: a crash came before the password was in it
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
            file.flush()
            os.fsync(file.fileno())
    return read_password(path)


def hash_password(password: str, salt: bytes) -> str:
    """The line Neo4j expects in `auth.ini`: user, algorithm, salted SHA-256 iterated 1024 times, salt, iterations."""
    digest = hashlib.sha256(salt + password.encode()).digest()
    for _ in range(HASH_ITERATIONS - 1):
        digest = hashlib.sha256(digest).digest()
    return f"neo4j:SHA-256,{digest.hex()},{salt.hex()},{HASH_ITERATIONS}:\n"


def write_initial_password(home: Path, password: str) -> None:
    """Leave the password's hash where Neo4j looks for it when it starts without users."""
    folder = home / "data" / "dbms"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "auth.ini").write_text(hash_password(password, secrets.token_bytes(SALT_BYTES)), encoding="ascii")
