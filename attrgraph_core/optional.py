"""Libraries that only some uses need: installed by an extra of the package."""

import importlib
from types import ModuleType

from attrgraph_core.errors import AttrGraphError


def optional_module(name: str, extra: str) -> ModuleType:
    """The module; AttrGraphError naming the extra that installs it where it is not there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name.partition(".")[0]:
            raise
        raise AttrGraphError(
            f"{name.partition('.')[0]!r} is not installed; pip install 'attrgraph[{extra}]' brings it"
        ) from error
