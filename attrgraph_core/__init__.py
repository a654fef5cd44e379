"""Attribution graphs of PyTorch networks: compute, keep, query, train by them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attrgraph_core.attribution.attribute import attribute, attribute_dataset
    from attrgraph_core.errors import AttrGraphError
    from attrgraph_core.graph.attribution_graph import AttributionGraph
    from attrgraph_core.graph.sparsify import EdgeLimits
    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.targeting.target_neurons import target_neurons

__all__ = [
    "AttrGraphError", "AttributionGraph", "EdgeLimits", "GraphStore", "attribute", "attribute_dataset",
    "target_neurons",
]  # fmt: skip

_MODULES = {
    "AttrGraphError": "errors",
    "AttributionGraph": "graph.attribution_graph",
    "EdgeLimits": "graph.sparsify",
    "GraphStore": "store.graph_store",
    "attribute": "attribution.attribute",
    "attribute_dataset": "attribution.attribute",
    "target_neurons": "targeting.target_neurons",
}


def __getattr__(name: str) -> Any:
    """Names load on first use (PEP 562): commands that only ask the store do not wait for torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
