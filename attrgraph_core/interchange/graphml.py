"""GraphML, by networkx: for Gephi, yEd, Cytoscape, igraph and others."""

from pathlib import Path
from xml.etree.ElementTree import ParseError

import networkx as nx

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.interchange.networkx_graph import from_networkx, to_networkx


def read_graphml(path: Path) -> AttributionGraph:
    """The graph of a file whose nodes and edges have the properties of `to_networkx`."""
    try:
        made = nx.read_graphml(path)
    except OSError as error:
        raise AttrGraphError(f"cannot read {path}: {error.strerror}") from error
    except (ParseError, nx.NetworkXError, KeyError, ValueError) as error:
        raise AttrGraphError(f"{path} is no GraphML: {error}") from error
    try:
        return from_networkx(made)
    except AttrGraphError as error:
        raise AttrGraphError(f"{path}: {error}") from error


def write_graphml(graph: AttributionGraph, path: Path) -> None:
    nx.write_graphml(to_networkx(graph), path)
