"""The values that a query is asked with: their names and types are checked before the server sees them."""

import difflib
import json
import math
import operator
from collections.abc import Collection, Mapping
from typing import Any

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.cypher_query import CypherQuery, Parameter

LISTED_BY = {  # what shows the ids that there are
    "graph_id": "attrgraph query epoch_graphs", "other_graph_id": "attrgraph query epoch_graphs",
    "run_id": "attrgraph runs list", "other_run_id": "attrgraph runs list", "stage_id": "attrgraph runs show RUN",
    "circuit_id": "attrgraph query stored_circuits", "neuron_set_id": "attrgraph query choosing_query",
    "experiment": "attrgraph runs list",
}  # fmt: skip
COUNTS = ("top_k", "beam_width", "edge_count", "k")  # what a query calls a number of rows, or of what it keeps


def check_parameters(query: CypherQuery, parameters: Mapping[str, Any], given: Collection[str] = ()) -> dict[str, Any]:
    """All parameters of a query, checked, with its defaults for those that are left out.

    Those in `given` are filled in later by somebody else: they may be left out. Raises AttrGraphError for a parameter
    that is unknown, missing, or of another type than the query says.
    """
    _refuse_unknown(query, parameters)
    missing = [name for name, known in query.params.items() if known.is_required and name not in (*parameters, *given)]
    if missing:
        where = f"; `{LISTED_BY[missing[0]]}` shows what there is" if missing[0] in LISTED_BY else ""
        raise AttrGraphError(
            f"query {query.name!r} needs the parameter {missing[0]!r}; {_describe_known(query)}{where}"
        )
    values = {name: known.default for name, known in query.params.items() if not known.is_required}
    for name, value in parameters.items():
        values[name] = _checked(query, name, query.params[name], value)
    return values


def coerce(query: CypherQuery, texts: Mapping[str, str]) -> dict[str, Any]:
    """Parameters from the text that a person typed, `{"top_k": "5"}`; a list is comma separated or JSON, a map is JSON.

    Defaults are filled in. Raises AttrGraphError as `check_parameters`.
    """
    _refuse_unknown(query, texts)
    return check_parameters(query, {name: _parsed(query.params[name], text) for name, text in texts.items()})


def _refuse_unknown(query: CypherQuery, parameters: Mapping[str, Any]) -> None:
    for name in parameters:
        if name not in query.params:
            near = difflib.get_close_matches(name, query.params, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise AttrGraphError(f"query {query.name!r} has no parameter {name!r}; {hint}{_describe_known(query)}")


def _describe_known(query: CypherQuery) -> str:
    known = [
        f"{name} ({parameter.type}{'' if parameter.is_required else f', default {json.dumps(parameter.default)}'})"
        for name, parameter in query.params.items()
    ]
    return f"its parameters are {', '.join(known)}" if known else "it takes none"


def _may_be_null(parameter: Parameter) -> bool:
    return not parameter.is_required and parameter.default is None


def _parsed(parameter: Parameter, text: str) -> Any:
    """The value that a text stands for, or the text itself where it stands for none: the check names it then."""
    if text == "null" and _may_be_null(parameter):
        return None
    if parameter.type.startswith("LIST<") and not text.lstrip().startswith("["):
        element = Parameter(parameter.type[len("LIST<") : -1], "")
        return [_parsed(element, part.strip()) for part in text.split(",")] if text.strip() else []
    try:
        if parameter.type == "INTEGER":
            return int(text)
        if parameter.type == "FLOAT":
            return float(text)
        if parameter.type == "BOOLEAN":
            return {"true": True, "false": False}[text.lower()]
        return text if parameter.type == "STRING" else json.loads(text)
    except (ValueError, KeyError):
        return text


def _checked(query: CypherQuery, name: str, parameter: Parameter, value: Any) -> Any:
    if value is None and _may_be_null(parameter):
        return None
    try:
        checked = _as_type(parameter.type, value)
    except (TypeError, ValueError, OverflowError):
        raise AttrGraphError(
            f"parameter {name!r} of query {query.name!r} is {value!r}, which is no {parameter.type}; "
            f"{_describe_known(query)}"
        ) from None
    if parameter.choices and checked not in parameter.choices:
        raise AttrGraphError(
            f"parameter {name!r} of query {query.name!r} is {value!r}; it is one of {', '.join(parameter.choices)}"
        )
    if name in COUNTS and checked < 0:
        raise AttrGraphError(f"parameter {name!r} of query {query.name!r} is {value!r}; it counts, from 0")
    return checked


def _as_type(type_name: str, value: Any) -> Any:
    """The value as the driver takes it. Raises TypeError or ValueError where it is of another type."""
    if type_name.startswith("LIST<"):
        if isinstance(value, str | Mapping):
            raise TypeError
        return [_as_type(type_name[len("LIST<") : -1], element) for element in value]
    if type_name == "INTEGER":
        if isinstance(value, bool):
            raise TypeError
        whole = operator.index(value)
        if not -(2**63) <= whole < 2**63:
            raise ValueError
        return whole
    if type_name == "FLOAT":
        if isinstance(value, bool | str):
            raise TypeError
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    expected = {"BOOLEAN": bool, "STRING": str, "MAP": dict}[type_name]
    if not isinstance(value, expected):
        raise TypeError
    return value
