"""A function named by its import path, `package.module:function`: how files name a user's own code."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from attrgraph_core.errors import AttrGraphError


def load_object(path: str) -> Callable[..., Any]:
    """The callable at `path`, such as `my_module:make_model` or `package.module:Class.method`.

    Modules beside the experiment are found: the current working directory is put at the end of `sys.path`, where it
    cannot hide an installed package, and stays there for what the module itself imports later.
    Raises AttrGraphError naming the part that is wrong: no colon, no such module, a module that fails when imported,
    no such attribute, or something that cannot be called.
    """
    module_name, colon, attribute_path = path.partition(":")
    if not colon or not module_name or not attribute_path:
        raise AttrGraphError(f"{path!r} is not an import path; write package.module:function")
    found = _import_module(module_name, path)
    for attribute in attribute_path.split("."):
        if not hasattr(found, attribute):
            raise AttrGraphError(f"{path!r}: {module_name!r} has no {attribute_path!r}; check the name after the colon")
        found = getattr(found, attribute)
    if not callable(found):
        raise AttrGraphError(f"{path!r} is a {type(found).__name__}, which cannot be called; name a function or class")
    return found


def _import_module(module_name: str, path: str) -> Any:
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()  # the module's file may be newer than the last look into its folder
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise AttrGraphError(
                f"{path!r}: there is no module {missing!r}; it must be installed or lie in {folder}"
            ) from error
        raise AttrGraphError(f"{path!r}: {module_name!r} imports {missing!r}, which is not installed") from error
    except Exception as error:
        raise AttrGraphError(f"{path!r}: importing {module_name!r} failed: {type(error).__name__}: {error}") from error
