"""`attrgraph graph`: graphs from other tools' files and to them."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attrgraph_cli.newest_graph import LATEST, newest_graph
from attrgraph_core.errors import AttrGraphError

app = typer.Typer(help="Read graphs from files of other tools, and write them.", no_args_is_help=True)


class Format(StrEnum):
    """The formats of `attrgraph_core.interchange.formats`."""

    graphml = "graphml"
    parquet = "parquet"
    summit = "summit"
    circuit_tracer = "circuit_tracer"
    eap_ig = "eap_ig"


OfFormat = Annotated[
    Format | None, typer.Option("--format", "-f", help="Where the file's suffix and fields do not tell it.")
]


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .graphml, .parquet or .json file.")],
    run: Annotated[str, typer.Option(help="The run to keep it under; made where it is missing.")],
    stage: Annotated[int, typer.Option(min=1, help="Stage of the run.")] = 1,
    epoch: Annotated[int, typer.Option(min=0, help="Epoch of the stage.")] = 0,
    target: Annotated[str | None, typer.Option(help="Its target, where the file does not tell it.")] = None,
    format: OfFormat = None,
) -> None:
    """Keep a file's graph in the store, where every query can be asked of it.

    Formats: SUMMIT's ag-<class>.json, circuit-tracer's and Neuronpedia's graphs (schema version 1), EAP-IG's graphs,
    GraphML, and what `attrgraph graph export` writes.

    Example: attrgraph graph import ag-270.json --run inception
    """
    from attrgraph_core.interchange.formats import as_target, import_graph
    from attrgraph_core.store.graph_store import GraphStore

    graph = as_target(import_graph(file, format), target)
    most = max(1, int(graph.edges.groupby(["target_layer", "target_index"]).size().max()) if len(graph.edges) else 1)
    with GraphStore.open() as store:
        # What somebody chose to keep is kept whole.
        saved = store.save(
            graph, run_id=run, stage=stage, epoch=epoch, edge_mass=1.0, max_edges_per_neuron=most,
            imported_from=file.name,
        )  # fmt: skip
    print(f"{file}: {saved.node_count} neurons, {saved.edge_count} edges", file=sys.stderr)
    typer.echo(saved.graph_id)


@app.command(name="export")
def export(
    graph_id: Annotated[str, typer.Argument(help="A graph of the store, or `latest`: the newest, imported ones last.")],
    file: Annotated[Path, typer.Argument(help="The file to write, such as graph.graphml.")],
    run: Annotated[str | None, typer.Option(help="`latest` of this run: its id, name or beginning.")] = None,
    target: Annotated[str | None, typer.Option(help="`latest` of this target, such as class:3.")] = None,
    format: OfFormat = None,
) -> None:
    """Write a graph of the store, its stored edges, to a file of another tool.

    A file called ag-<class>.json is SUMMIT's; other .json files need --format.

    Example: attrgraph graph export latest graph.graphml --target class:3
    """
    from attrgraph_core.interchange.formats import check_export, export_graph
    from attrgraph_core.store.graph_store import GraphStore

    if graph_id != LATEST and (run is not None or target is not None):
        raise AttrGraphError(f"--run and --target say which `latest` is meant, and {graph_id!r} is a graph already")
    check_export(file, format)
    with GraphStore.open() as store:
        if graph_id == LATEST:
            graph_id = newest_graph(store, run, target)["graph_id"]
        graph = store.graph(graph_id)
    written = export_graph(graph, file, format)
    typer.echo(f"{file}: {len(graph.neurons)} neurons and {len(graph.edges)} edges of {graph_id} as {written}")
