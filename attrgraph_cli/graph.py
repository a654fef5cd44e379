"""`attrgraph graph`: graphs from other tools' files and to them."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attrgraph_cli.newest_graph import LATEST, newest_graph
from attrgraph_core.errors import AttrGraphError

app = typer.Typer(help="Make graphs of samples and errors; read and write files of other tools.", no_args_is_help=True)


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


@app.command(name="attribute")
def attribute_(
    run: Annotated[str, typer.Argument(help="A run's id, its name, or the beginning of its id.")],
    samples: Annotated[
        str | None,
        typer.Option(
            help="A .npz with arrays inputs and labels; `wrong` or `right`, the test samples that it gets so; or "
            "Cypher that returns places in the test set as `sample`, or classes as `label`."
        ),
    ] = None,
    error: Annotated[
        str | None, typer.Option(help="TRUE-PREDICTED, such as 3-8: the test samples of 3 that it takes for an 8.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the samples; without, the file's name.")] = None,
    stage: Annotated[int | None, typer.Option(help="Of this stage; without, the last.")] = None,
    epoch: Annotated[int | None, typer.Option(help="After this epoch; without, the last.")] = None,
) -> None:
    """Make a graph of a trained run for some samples, or for an error, which every query can be asked of.

    Of samples the score of the true class is explained, of an error that of the wrong class less that of the true one.
    The graph's target is samples:NAME or error:TRUE-PREDICTED.

    Example: attrgraph graph attribute digits --error 3-8; attrgraph query strongest_paths --target error:3-8

    Example: attrgraph graph attribute digits --samples "UNWIND [3, 8] AS label RETURN label" --name threes_and_eights
    """
    if (samples is None) == (error is None):
        raise typer.BadParameter("give one of --samples and --error")
    classes = _classes(error)
    from attrgraph_core.store.graph_store import GraphStore
    from pipelines.run_model import open_run
    from pipelines.sample_graph import attribute_error, attribute_samples

    with GraphStore.open() as store:
        opened = open_run(store, run, stage, epoch)
        if samples is not None:
            saved, count = attribute_samples(store, opened, samples, name)
        else:
            saved, count = attribute_error(store, opened, *classes)
    print(f"{count} samples: {saved.node_count} neurons, {saved.edge_count} edges", file=sys.stderr)
    typer.echo(saved.graph_id)


def _classes(error: str | None) -> tuple[int, int]:
    true, _, predicted = (error or "0-0").partition("-")
    if not (true.isdecimal() and predicted.isdecimal()):
        raise AttrGraphError(f"--error is {error!r}; it is two classes, TRUE-PREDICTED, such as 3-8")
    return int(true), int(predicted)


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
