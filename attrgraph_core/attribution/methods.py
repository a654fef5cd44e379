"""The methods that make neurons and edges, by name."""

from collections.abc import Callable

from attrgraph_core.attribution.conductance import Conductance, ExpectedGradients
from attrgraph_core.attribution.deeplift import DeepLift, DeepShap
from attrgraph_core.attribution.factors import AttributionMethod
from attrgraph_core.attribution.gradient_times_activation import GradientTimesActivation
from attrgraph_core.attribution.relevance import LayerwiseRelevance, lrp_composite
from attrgraph_core.attribution.relevance_rules import Epsilon, GeneralisedGamma
from attrgraph_core.errors import AttrGraphError

METHODS: dict[str, Callable[[], AttributionMethod]] = {
    "deeplift": DeepLift,
    "gradient_times_activation": GradientTimesActivation,
    "conductance": Conductance,
    "lrp_epsilon": lambda: LayerwiseRelevance("lrp_epsilon", Epsilon()),
    "lrp_gamma": lambda: LayerwiseRelevance("lrp_gamma", GeneralisedGamma()),
    "lrp_composite": lrp_composite,
    "deepshap": DeepShap,
    "expected_gradients": ExpectedGradients,
}


def attribution_method(method: str | AttributionMethod) -> AttributionMethod:
    """The method called `method` with its defaults, or the method that is given. Raises AttrGraphError for none."""
    if isinstance(method, AttributionMethod):
        return method
    if method not in METHODS:
        raise AttrGraphError(f"unknown attribution method {method!r}; known are {', '.join(sorted(METHODS))}")
    return METHODS[method]()
