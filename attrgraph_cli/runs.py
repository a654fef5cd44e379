"""`attrgraph runs`: what was trained, by name, one beside another."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attrgraph_core.errors import AttrGraphError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    help="List, show, compare, name and delete runs. RUN is a run's id, its name, or the beginning of its id.",
    no_args_is_help=True,
)
Run = Annotated[str, typer.Argument(help="A run's id, its name, or the beginning of its id.")]
LIST_COLUMNS = ("run_id", "name", "tags", "status", "started_at", "snapshots", "graphs", "edges", "loss", "accuracy")


@app.command(name="list")
def list_runs(
    experiment: Annotated[str | None, typer.Option(help="Only runs of this experiment.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show all runs, newest first, with the figures of each one's last snapshot."""
    from attrgraph_core.store.graph_store import GraphStore

    with GraphStore.open() as store:
        runs = store.runs(experiment, tag)
    if as_json:
        typer.echo(runs.to_json(orient="records", indent=1))
    elif runs.empty:
        typer.echo("There are no such runs.")
    else:
        _print_table(runs[list(LIST_COLUMNS)])


@app.command()
def show(run: Run, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show one run: what is known of it, its stages, and where Dagster has it."""
    from attrgraph_core.store.graph_store import GraphStore

    with GraphStore.open() as store:
        properties, stages = store.describe_run(store.find_run(run))
    if as_json:
        rows = json.loads(stages.to_json(orient="records"))
        typer.echo(json.dumps({**properties, "stages": rows}, indent=1, default=str))
        return
    width = max(map(len, properties))
    for name in sorted(properties, key=lambda name: (name != "run_id", name == "configuration", name)):
        typer.echo(f"{name:<{width}}  {_text(properties[name])}")
    _print_table(stages)


@app.command()
def compare(runs: Annotated[list[str], typer.Argument(help="Two runs or more.")]) -> None:
    """Show runs side by side: the settings in which they differ, and how each of their stages ended."""
    from attrgraph_core.store.graph_store import GraphStore

    if len(runs) < 2:
        raise typer.BadParameter("give two runs or more")
    with GraphStore.open() as store:
        found = list(dict.fromkeys(store.find_run(run) for run in runs))
        if len(found) < 2:
            raise AttrGraphError(f"{' and '.join(runs)} are one run, {found[0]}; name another to compare it with")
        table = store.compare_runs(found)
    _print_table(table.reset_index(names=""))


@app.command()
def delete(
    run: Run, yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False
) -> None:
    """Delete a run with its graphs, circuits and neuron sets from the store. Its weights and tables stay in ./runs.

    Whoever trains it meanwhile ends with an error at its next graph.
    """
    from attrgraph_core.store.graph_store import GraphStore
    from pipelines.run_folder import run_folder
    from pipelines.run_lock import is_held

    with GraphStore.open() as store:
        run_id = store.find_run(run)
        found = store.runs().set_index("run_id").loc[run_id]
        if found["status"] == "running":
            if is_held(run_id):
                typer.echo(f"Run {run_id} is running: who trains it ends with an error.", err=True)
            else:
                typer.echo(f"Run {run_id} was killed, or runs elsewhere: who trains it ends with an error.", err=True)
        if not yes:
            if not sys.stdin.isatty():
                raise AttrGraphError(f"nobody is there to ask whether run {run_id} may go; say --yes if it may")
            typer.confirm(
                f"Delete run {run_id} with {found['graphs']} graphs and {found['edges']:,} edges?", abort=True
            )
        graphs = store.delete_run(run_id)
    typer.echo(f"Deleted run {run_id} with {graphs} graphs.")
    if run_folder(run_id).is_dir():
        typer.echo(f"Its weights and tables stay in {run_folder(run_id)}")


@app.command()
def name(run: Run, name: Annotated[str, typer.Argument(help="The name; '' takes it away.")]) -> None:
    """Give a run a name, which every command then takes for it."""
    _annotate(run, name=name)


@app.command()
def tag(
    run: Run,
    tags: Annotated[list[str], typer.Argument(help="One word each.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take these tags away.")] = False,
) -> None:
    """Put tags on a run, or take them away."""
    from attrgraph_core.store.graph_store import GraphStore

    with GraphStore.open() as store:
        run_id = store.find_run(run)
        before = store.runs().set_index("run_id").loc[run_id, "tags"]
        kept = [tag for tag in before if tag not in tags]
        store.annotate_run(run_id, tags=kept if remove else [*before, *tags])


@app.command()
def note(run: Run, text: Annotated[str, typer.Argument(help="The note; '' takes it away.")]) -> None:
    """Write a note on a run, in place of the one before."""
    _annotate(run, note=text)


def _annotate(run: str, **values: str) -> None:
    from attrgraph_core.store.graph_store import GraphStore

    with GraphStore.open() as store:
        store.annotate_run(store.find_run(run), **values)


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)


def _print_table(rows: "pd.DataFrame") -> None:
    console = Console() if sys.stdout.isatty() else Console(width=240)
    table = Table(box=None)
    for column in rows.columns:
        table.add_column(str(column), overflow="fold")
    for row in rows.itertuples(index=False):
        table.add_row(*(Text(_text(value)) for value in row))  # what people wrote is no markup
    console.print(table)
