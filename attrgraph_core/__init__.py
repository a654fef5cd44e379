"""Attribution graphs of PyTorch networks: compute, keep, query, train by them."""

from attrgraph_core.attribution.attribute import attribute, attribute_dataset
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph

__all__ = ["AttrGraphError", "AttributionGraph", "attribute", "attribute_dataset"]
