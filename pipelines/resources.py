"""Where things live: the graph store and the device."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    import torch

    from attrgraph_core.store.graph_store import GraphStore


class GraphStoreResource(dg.ConfigurableResource):
    """The Neo4j that keeps the graphs: `NEO4J_URI` where it is set, else the embedded server, started on demand."""

    def open(self) -> "GraphStore":
        from attrgraph_core.store.graph_store import GraphStore

        return GraphStore.open()


class DeviceResource(dg.ConfigurableResource):
    """What networks are trained and attributed on: `auto` takes CUDA where there is one."""

    name: str = "auto"

    def choose(self) -> "torch.device":
        from attrgraph_core.training.device import choose_device

        return choose_device(self.name)
