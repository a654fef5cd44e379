"""Cut short before each of its renames, an exchange leaves the old store or the new one, whole."""

import itertools
from pathlib import Path

import pytest

from attrgraph_core.store.embedded.store_exchange import STORE_FOLDERS, exchange_store, undo_cut_exchange


def fill(home: Path, content: str) -> None:
    for folder in STORE_FOLDERS:
        (home / folder).mkdir(parents=True)
        (home / folder / "file").write_text(content)


def content(home: Path) -> set[str | None]:
    files = [home / folder / "file" for folder in STORE_FOLDERS]
    return {file.read_text() if file.exists() else None for file in files}


@pytest.mark.parametrize("is_new_home", [False, True])
def test_cut_short_anywhere_one_of_the_two_is_whole(tmp_path, monkeypatch, is_new_home):
    rename, old = Path.rename, {None} if is_new_home else {"old"}
    found = []
    for count in itertools.count():
        home = tmp_path / str(count)
        home.mkdir()
        if not is_new_home:
            fill(home, "old")
        fill(home / "new", "new")
        left = count

        def cut(self, target):
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return rename(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", cut)
            try:
                exchange_store(home, home / "new")
            except KeyboardInterrupt:
                is_cut = True
            else:
                is_cut = False
        assert undo_cut_exchange(home) == is_cut
        found.append(content(home))
        assert not (home / "replaced").exists()
        assert not undo_cut_exchange(home)
        if not is_cut:
            break
    assert found == [old] * 5 + [{"new"}]  # two out, two in, one that says it is done
