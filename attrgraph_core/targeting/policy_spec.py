"""How a policy is written: a name, or a combination of policies. Read without pandas, by the experiment file."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrgraph_core.errors import AttrGraphError

PolicySpec = str | Mapping[str, Any]
"""A name, or a mapping of one combination to its policies: `{"union": ["fisher", {"inverse": "taylor"}]}`."""

MANY = 100
OPERAND_COUNTS = {"union": (2, MANY), "intersection": (2, MANY), "difference": (2, MANY), "inverse": (1, 1)}


def policy_name(spec: PolicySpec) -> str:
    """As it is kept with a neuron set: `union(fisher, inverse(taylor))`. Raises AttrGraphError as `operands_of`."""
    if isinstance(spec, str):
        return spec
    name, operands = operands_of(spec)
    return f"{name}({', '.join(map(policy_name, operands))})"


def operands_of(spec: Mapping[str, Any]) -> tuple[str, Sequence[PolicySpec]]:
    """Name and policies of a combination; AttrGraphError for what is none, and for too few or too many policies."""
    if not isinstance(spec, Mapping) or len(spec) != 1 or next(iter(spec)) not in OPERAND_COUNTS:
        raise AttrGraphError(
            f"{spec!r} is no policy: write a name, or one of {', '.join(OPERAND_COUNTS)} with policies"
        )
    name, given = next(iter(spec.items()))
    operands = [given] if isinstance(given, str | Mapping) else list(given or ())
    least, most = OPERAND_COUNTS[name]
    if not least <= len(operands) <= most:
        wanted = f"{least}" if least == most else f"{least} or more"
        raise AttrGraphError(f"{name} combines {wanted} policies, not {len(operands)}: {spec!r}")
    return name, operands
