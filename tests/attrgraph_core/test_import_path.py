"""Import paths: what they find, and what is said where they find nothing."""

import sys

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.import_path import load_object


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """The working directory of a user, with modules beside the experiment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "their_module.py").write_text(
        "WIDTH = 3\nclass Maker:\n    @staticmethod\n    def make():\n        return 7\n"
    )
    (tmp_path / "their_broken_module.py").write_text("1 / 0\n")
    (tmp_path / "their_needy_module.py").write_text("import not_installed_anywhere\n")
    yield tmp_path
    for name in ("their_module", "their_broken_module", "their_needy_module"):
        sys.modules.pop(name, None)


def test_finds_a_function_of_an_installed_module():
    assert load_object("os.path:join")("a", "b") == "a/b"


def test_finds_a_module_in_the_working_directory(user_folder):
    assert load_object("their_module:Maker.make")() == 7


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("their_module", "not an import path; write package.module:function"),
        ("their_module:", "not an import path"),
        ("no_such_module:make", "no module 'no_such_module'"),
        ("os.no_such_module:make", "no module 'os.no_such_module'"),
        ("their_module:absent", "'their_module' has no 'absent'"),
        ("their_module:WIDTH", "is a int, which cannot be called"),
        ("their_broken_module:make", "importing 'their_broken_module' failed: ZeroDivisionError"),
        ("their_needy_module:make", "imports 'not_installed_anywhere', which is not installed"),
    ],
)
def test_names_what_is_wrong(user_folder, path, message):
    with pytest.raises(AttrGraphError) as caught:
        load_object(path)
    assert message in str(caught.value)
