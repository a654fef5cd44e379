"""Libraries that only some uses need: installed by an extra of the package."""

import importlib
import importlib.util
from types import ModuleType

from attrgraph_core.errors import AttrGraphError


def optional_module(name: str, extra: str) -> ModuleType:
    """The module; AttrGraphError as `check_installed` raises it."""
    check_installed(name, extra)
    return importlib.import_module(name)


def check_installed(name: str, extra: str) -> None:
    """Raise AttrGraphError naming the extra that installs a module, where it is not there; imports nothing."""
    package = name.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        raise AttrGraphError(f"{package!r} is not installed; pip install 'attrgraph[{extra}]' brings it")
