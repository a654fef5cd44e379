"""Policies: which neurons of a layer train next. One policy a file, all with the signature of `Policy`.

To add one: a file here with a function `select`; or, from another package, an entry point of the group
`attrgraph.policies`; or, from an experiment, an import path `package.module:function`.
"""

import importlib
import pkgutil
from collections.abc import Callable
from importlib.metadata import entry_points

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.import_path import load_object

ENTRY_POINT_GROUP = "attrgraph.policies"

Policy = Callable[[pd.DataFrame, int, np.random.Generator], list[int]]
"""`select(candidates, count, generator)`: `count` different values of `index` out of the candidates of one layer.

Candidates have the columns layer, index, influence (0 or more), maybe gradient_norm (0 or more) and others. Every
random choice is drawn from `generator`, so that a run can be repeated.
"""


def load_policy(name: str) -> Policy:
    """The policy called `name`; AttrGraphError, listing the known ones, where there is none."""
    if ":" in name:
        return load_object(name)
    if name in built_in_policies():
        return importlib.import_module(f"{__name__}.{name}").select
    found = entry_points(group=ENTRY_POINT_GROUP, name=name)
    if found:
        return load_object(next(iter(found)).value)
    raise AttrGraphError(f"unknown policy {name!r}; known are {', '.join(policy_names())} and package.module:function")


def policy_names() -> list[str]:
    """The names that `load_policy` knows: built-in ones, then those of installed packages."""
    built_in = built_in_policies()
    installed = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return built_in + sorted(installed.difference(built_in))


def built_in_policies() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
