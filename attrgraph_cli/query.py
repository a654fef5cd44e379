"""`attrgraph query`: ask the graphs, by a query of `cypher/analysis/` or in Cypher of one's own."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from attrgraph_cli.newest_graph import IDS, LATEST, newest_graph
from attrgraph_cli.query_completion import complete_name, complete_parameter
from attrgraph_cli.query_picture import Pictures, parse_shape
from attrgraph_cli.query_rows import Format, print_rows
from attrgraph_core.errors import AttrGraphError

if TYPE_CHECKING:
    import pandas as pd

    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.store.queries import CypherQuery


def query(
    name: Annotated[
        str | None, typer.Argument(help="A query's name; --list shows them.", autocompletion=complete_name)
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="key=value; may be repeated.", autocompletion=complete_parameter),
    ] = None,
    cypher: Annotated[str | None, typer.Option(help="Cypher of your own, run read-only.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Let --cypher change the database.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that --cypher may take; 0 for any.")] = 60.0,
    max_rows: Annotated[int, typer.Option(help="Rows that --cypher may give; 0 for any.")] = 100_000,
    run: Annotated[str | None, typer.Option(help="Of this run: its id, name, or the beginning of its id.")] = None,
    target: Annotated[str | None, typer.Option(help="Of this target, such as class:3.")] = None,
    list_queries: Annotated[bool, typer.Option("--list", help="Show what each query answers.")] = False,
    format: Annotated[
        Format, typer.Option("--format", "-f", help="How to print; auto is table, or rows where that is too wide.")
    ] = Format.auto,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the server's plan; run nothing.")] = False,
    save: Annotated[bool, typer.Option("--save", help="Keep the answer as a circuit of its graph.")] = False,
    png: Annotated[Path | None, typer.Option(help="Draw the answer as a layered graph.")] = None,
    svg: Annotated[Path | None, typer.Option(help="The same as SVG.")] = None,
    html: Annotated[Path | None, typer.Option(help="The same to zoom and point at; one file.")] = None,
    input_shape: Annotated[
        str | None, typer.Option(help="Of an image input: 28x28, 3x32x32; or none. A square number is taken for one.")
    ] = None,
) -> None:
    """Ask the attribution graphs and print the rows.

    --save keeps the neurons of the answer as a (:Circuit), and where DAGSTER_HOME is set as an asset
    saved_circuits/NAME in Dagster's catalogue.

    A parameter graph_id, run_id or stage_id that is left out, or `latest`, means the newest: the last stage's last
    graph of the true class, or of --target, of the run that began last, or of --run. Which one that is goes to stderr.
    Graphs that were imported count only where there are no others.
    """
    asked = [bool(name), cypher is not None, list_queries]
    if sum(asked) != 1:
        raise typer.BadParameter("give one of: a query's NAME, --cypher '...', --list")
    if list_queries:
        _print_list(Console())
        return
    if write and cypher is None:
        raise typer.BadParameter("--write goes with --cypher; the named queries only read")
    if format is Format.parquet and output is None:
        raise typer.BadParameter("--format parquet needs a file: --output rows.parquet")
    if output is not None and not output.parent.is_dir():
        raise AttrGraphError(f"there is no folder {output.parent} to write {output.name} to")
    pictures = Pictures(png, svg, html, parse_shape(input_shape))
    pictures.check()
    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.store.queries import load_query

    texts = _pairs(param or [])
    found = load_query(name) if name else None
    if found is not None:
        if target is not None and "target" in found.params:
            texts, target = {"target": target} | texts, None
        _check_names(found, texts)
    if save or pictures.paths:
        _check_names_neurons(found)
    _check_newest(found, texts, run, target)
    with GraphStore.open() as store:
        if explain:
            _print_plan(store, found, cypher or "", texts)
            return
        if found is None:
            rows = store.run_cypher(cypher or "", _literals(texts), not write, timeout or None, max_rows or None)
            print_rows(rows, format, output)
            return
        values = _parameters(found, texts, store, run, target)
        table = store.query(found, **values)
        if pictures.paths:
            pictures.draw(store.graph(values["graph_id"]), table, f"{found.name} of {values['graph_id']}")
        if table.empty and found.notes:
            print("\n".join(found.notes), file=sys.stderr)  # of what there are no rows
        if save:
            _save(store, found, values, table)
    # A picture is an answer already: its rows are printed where a form or a file is asked for.
    if not pictures.paths or output is not None or format is not Format.auto:
        print_rows(table, format, output)


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise AttrGraphError(f"--param {text!r} is not key=value, such as --param top_k=5")
        pairs[key] = value
    return pairs


def _check_names(found: "CypherQuery", texts: dict[str, str]) -> None:
    """Types and names, before a server is started for them."""
    from attrgraph_core.store.queries import coerce

    coerce(found, {**dict.fromkeys([key for key in IDS if key in found.params], LATEST), **texts})


def _check_newest(found: "CypherQuery | None", texts: dict[str, str], run: str | None, target: str | None) -> None:
    """--run and --target say which graph is meant: there has to be one to choose."""
    for option, value in (("--run", run), ("--target", target)):
        if value is None:
            continue
        named = set() if found is None else set(found.params) & (set(IDS) if option == "--run" else {"graph_id"})
        free = [key for key in named if texts.get(key, LATEST) == LATEST]
        if not free:
            what = "your Cypher" if found is None else f"query {found.name!r} as it is asked here"
            raise AttrGraphError(f"{option} says which graph is meant, and {what} leaves none to choose")


def _check_names_neurons(found: "CypherQuery | None") -> None:
    """A circuit or a picture needs neurons, and the graph that they are of."""
    from pipelines.experiments import NEURON_COLUMNS

    columns = set() if found is None else set(found.returns)
    if found is None or "graph_id" not in found.params or not any(form <= columns for form in NEURON_COLUMNS):
        raise AttrGraphError(
            "--save and pictures need a named query that is asked of one graph and returns its neurons or edges, such "
            "as pruned_edges; --list shows them"
        )


def _literals(texts: dict[str, str]) -> dict[str, Any]:
    """Parameters of free Cypher: JSON where it is some, else the text itself."""

    def literal(text: str) -> Any:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text

    return {key: literal(text) for key, text in texts.items()}


def _print_plan(store: "GraphStore", found: "CypherQuery | None", cypher: str, texts: dict[str, str]) -> None:
    from attrgraph_cli.query_plan import plan_tree
    from attrgraph_core.store.queries import coerce

    if found is None:
        plan, title = store.explain(cypher, _literals(texts)), "your Cypher"
    else:
        given = {key: "any" for key in IDS if key in found.params} | texts
        plan, title = store.explain(found, coerce(found, given)), found.name
    (Console() if sys.stdout.isatty() else Console(width=200)).print(plan_tree(plan, title))


def _save(store: "GraphStore", found: "CypherQuery", values: dict[str, Any], table: "pd.DataFrame") -> None:
    from pipelines.saved_circuits import report_saved_circuit

    own = {name: value for name, value in values.items() if name != "graph_id"}
    circuit_id = store.save_circuit(values["graph_id"], found, own, table)
    print(f"circuit_id = {circuit_id}", file=sys.stderr)
    asset = report_saved_circuit(circuit_id, found.name, values["graph_id"], table)
    if asset is not None:
        print(f"asset = {asset}", file=sys.stderr)


def _parameters(
    found: "CypherQuery", texts: dict[str, str], store: "GraphStore", run: str | None, target: str | None
) -> dict[str, Any]:
    from attrgraph_core.store.queries import coerce

    left_out = [
        key
        for key, known in found.params.items()
        if key in IDS and (texts.get(key) == LATEST or (key not in texts and (known.is_required or run is not None)))
    ]
    if left_out:
        newest = newest_graph(store, run, target)
        for key in left_out:
            texts = texts | {key: newest[key]}
            print(f"{key} = {texts[key]}", file=sys.stderr)
    return coerce(found, texts)


def _print_list(console: Console) -> None:
    from attrgraph_core.store.cypher_query import TOPICS
    from attrgraph_core.store.queries import load_query, query_names

    table = Table(title="attrgraph query NAME --param key=value")
    for column in ("query", "what it answers", "parameters"):
        table.add_column(column, overflow="fold")
    queries = sorted(map(load_query, query_names()), key=lambda query: TOPICS.index(query.topic))
    for place, known in enumerate(queries):
        if place == 0 or known.topic != queries[place - 1].topic:
            table.add_section()
            table.add_row(f"[bold]{known.topic}[/bold]")
        parameters = [
            f"{key}: {parameter.type}" + ("" if parameter.is_required else f" = {json.dumps(parameter.default)}")
            for key, parameter in known.params.items()
            if key != "projection"
        ]
        table.add_row(known.name, known.title, "\n".join(parameters))
    console.print(table)
