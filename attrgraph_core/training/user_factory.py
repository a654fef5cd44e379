"""Calling what a user's file names: wrong arguments and failures inside become messages."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from attrgraph_core.errors import AttrGraphError


def call_factory(function: Callable[..., Any], name: str, arguments: Mapping[str, Any]) -> Any:
    """What `function` returns for `arguments`; AttrGraphError naming `name` where they do not fit or it fails."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some compiled callables have none
        signature = None
    if signature is not None:
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise AttrGraphError(f"the arguments {dict(arguments)} do not fit {name}{signature}: {error}") from error
    try:
        return function(**arguments)
    except AttrGraphError:
        raise
    except Exception as error:
        raise AttrGraphError(
            f"{name} failed with the arguments {dict(arguments)}: {type(error).__name__}: {error}"
        ) from error
