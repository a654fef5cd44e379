"""The attribution methods by name."""

from attrgraph_core.attribution.deeplift import DeepLift
from attrgraph_core.attribution.factors import AttributionMethod
from attrgraph_core.attribution.gradient_times_activation import GradientTimesActivation
from attrgraph_core.errors import AttrGraphError

METHODS: dict[str, AttributionMethod] = {method.name: method for method in (DeepLift(), GradientTimesActivation())}


def attribution_method(name: str) -> AttributionMethod:
    """The method called `name`; AttrGraphError where there is none."""
    if name not in METHODS:
        raise AttrGraphError(f"unknown attribution method {name!r}; known are {', '.join(sorted(METHODS))}")
    return METHODS[name]
