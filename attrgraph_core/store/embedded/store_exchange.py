"""Changing a home's store for another one, so that a crash in the middle leaves one of the two, whole.

The store is two folders, and no rename moves both at once. The old ones go to `replaced/` first, the new ones come in
after, and only then is `replaced/` renamed away: whoever finds it there puts the old store back.
"""

import shutil
from pathlib import Path

STORE_FOLDERS = ("data/databases/neo4j", "data/transactions/neo4j")


def exchange_store(home: Path, new: Path) -> None:
    """Put the store of the folder `new` into `home`, whose server is down, and delete the one that was there."""
    for folder in STORE_FOLDERS:
        (home / folder).mkdir(parents=True, exist_ok=True)  # so that each has an old one to put back
        (home / "replaced" / folder).parent.mkdir(parents=True, exist_ok=True)
    for folder in STORE_FOLDERS:
        (home / folder).rename(home / "replaced" / folder)
    for folder in STORE_FOLDERS:
        (new / folder).rename(home / folder)
    (home / "replaced").rename(home / "replaced.done")
    shutil.rmtree(home / "replaced.done")


def undo_cut_exchange(home: Path) -> bool:
    """Put the old store back where an exchange was cut short; whether one was. The server must be down."""
    shutil.rmtree(home / "replaced.done", ignore_errors=True)
    replaced = home / "replaced"
    if not replaced.is_dir():
        return False
    for folder in STORE_FOLDERS:
        if (replaced / folder).is_dir():
            shutil.rmtree(home / folder, ignore_errors=True)
            (replaced / folder).rename(home / folder)
            if not any((home / folder).iterdir()):
                (home / folder).rmdir()
    shutil.rmtree(replaced)
    return True
