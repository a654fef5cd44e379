"""Policies: which neurons of a layer train next. One policy a file, all with the signature of `Policy`.

To add one: a file here with a function `select` and the columns that it `NEEDS`; or, from another package, an entry
point of the group `attrgraph.policies`; or, from an experiment, an import path `package.module:function`. The two
latter get the columns that their function's attribute `needs` names, or influence and gradient_norm.
`{union: [a, b]}`, `{intersection: [a, b]}`, `{difference: [a, b]}` and `{inverse: a}` combine policies.
"""

import importlib
import pkgutil
from collections.abc import Callable
from importlib.metadata import entry_points

import numpy as np
import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.import_path import load_object
from attrgraph_core.targeting.policy_sets import COMBINATIONS
from attrgraph_core.targeting.policy_spec import PolicySpec, operands_of

ENTRY_POINT_GROUP = "attrgraph.policies"
OTHERS_NEED = ("influence", "gradient_norm")  # a policy from elsewhere that says nothing

Policy = Callable[[pd.DataFrame, int, np.random.Generator], list[int]]
"""`select(candidates, count, generator)`: `count` different values of `index` out of the candidates of one layer, the
preferred one first.

Candidates have the columns layer, index, influence (0 or more) and those that the policy needs (0 or more). With a
budget over the network they are of all layers, and `index` counts them through. Every random choice is drawn from
`generator`, so that a run can be repeated.
"""


def load_policy(spec: PolicySpec) -> Policy:
    """The policy called `spec`, or combined as it says; AttrGraphError, listing the known ones, where there is none."""
    if isinstance(spec, str):
        return _load_named(spec)
    name, operands = operands_of(spec)
    return COMBINATIONS[name]([load_policy(operand) for operand in operands])


def policy_needs(spec: PolicySpec) -> set[str]:
    """The columns of candidates that a policy ranks by; `scores` says what each is and costs."""
    if not isinstance(spec, str):
        return set().union(*(policy_needs(operand) for operand in operands_of(spec)[1]))
    if spec in built_in_policies():
        return set(importlib.import_module(f"{__name__}.{spec}").NEEDS)
    return set(getattr(load_policy(spec), "needs", OTHERS_NEED))


def _load_named(name: str) -> Policy:
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
