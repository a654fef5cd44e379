"""The attribution methods by name, with their defaults; `properties` has what there is."""

from collections.abc import Callable
from importlib import import_module

from attrgraph_core.attribution.factors import AttributionMethod
from attrgraph_core.attribution.method import Method
from attrgraph_core.attribution.properties import PROPERTIES
from attrgraph_core.errors import AttrGraphError


def _registered(place: str) -> Callable[[], Method]:
    module, _, name = place.partition(":")
    return getattr(import_module(f"attrgraph_core.attribution.{module}"), name)


METHODS: dict[str, Callable[[], Method]] = {row.name: _registered(row.place) for row in PROPERTIES}
EDGE_METHODS = tuple(row.name for row in PROPERTIES if row.makes_edges)
NEURON_METHODS = tuple(row.name for row in PROPERTIES if not row.makes_edges)


def attribution_method(method: str | Method) -> Method:
    """The method called `method` with its defaults, or the method that is given. Raises AttrGraphError for none."""
    if isinstance(method, Method):
        return method
    if isinstance(method, type) and issubclass(method, Method):
        return method()
    if not isinstance(method, str) or method not in METHODS:
        raise AttrGraphError(f"unknown attribution method {method!r}; known are {', '.join(sorted(METHODS))}")
    return METHODS[method]()


def edge_method(method: str | Method) -> AttributionMethod:
    """The method, where it makes edges. Raises AttrGraphError for one that gives neurons only."""
    found = attribution_method(method)
    if not isinstance(found, AttributionMethod):
        raise AttrGraphError(
            f"{found.name} gives neurons and no edges; methods with edges are {', '.join(EDGE_METHODS)}"
        )
    return found
