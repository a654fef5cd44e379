"""`attrgraph db prune`: delete the graphs of snapshots that no rule keeps; shows what would go first."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from attrgraph_cli.numbers import ranges

if TYPE_CHECKING:
    import pandas as pd

    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.store.retention import RetentionPlan


def prune(
    keep_last: Annotated[int | None, typer.Option(help="Keep the newest N snapshots of each run.")] = None,
    keep_every: Annotated[int | None, typer.Option(help="Keep epochs divisible by N, of every stage.")] = None,
    keep_stage_ends: Annotated[bool, typer.Option("--keep-stage-ends", help="Keep each stage's last.")] = False,
    keep_best: Annotated[str | None, typer.Option(help="Keep the best one, by `accuracy` or `loss`.")] = None,
    run: Annotated[list[str] | None, typer.Option(help="Only this run, by id or name; may be repeated.")] = None,
    experiment: Annotated[list[str] | None, typer.Option(help="Only runs of this experiment; may be repeated.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it, only show what would go.")] = False,
) -> None:
    """Delete the graphs of snapshots that no rule keeps. Without --yes nothing is changed: what would go is shown.

    A snapshot that any rule names is kept. Snapshots that lose their graphs stay, with loss and accuracy. Graphs that a
    neuron set was chosen from are always kept, since the training of a stage rests on them, and so are those of runs
    that are running, unless --run names them.

    Example: attrgraph db prune --keep-last 5 --keep-every 10 --keep-stage-ends --keep-best accuracy
    """
    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.store.retention import RetentionRules

    console = Console() if sys.stdout.isatty() else Console(width=160)
    rules = RetentionRules(keep_last, keep_every, keep_stage_ends, keep_best)
    with GraphStore.open() as store:
        plan = store.plan_retention(rules, run and [store.find_run(given) for given in run], experiment)
        if plan.graphs.empty:
            console.print("There are no graphs to decide on.")
            return
        console.print(_plan_table(plan))
        if plan.going.empty:
            console.print("Nothing goes: the rules keep every graph.")
            return
        circuits = int(plan.going["circuit_count"].sum())
        if circuits:
            console.print(f"{circuits} circuits that were found in graphs that go are deleted with them.")
        if not yes:
            console.print("Nothing was changed. The same with --yes deletes what is in the column 'goes'.")
            return
        _prune(store, plan, console)


def _plan_table(plan: "RetentionPlan") -> Table:
    table = Table(title="graphs by stage: epochs")
    for column in ("run", "keeps", "because", "goes"):
        table.add_column(column, overflow="fold")
    table.add_column("graphs", justify="right")
    table.add_column("edges", justify="right")
    for run_id, graphs in plan.graphs.groupby("run_id"):
        kept, going = graphs[graphs["kept_for"] != ""], graphs[graphs["kept_for"] == ""]
        reasons = dict.fromkeys(reason for text in kept["kept_for"] for reason in str(text).split(", "))
        table.add_row(
            str(run_id), _epochs(kept), ", ".join(reasons), _epochs(going), f"{len(going)} of {len(graphs)}",
            f"{going['edge_count'].sum():,} of {graphs['edge_count'].sum():,}",
        )  # fmt: skip
    return table


def _epochs(graphs: "pd.DataFrame") -> str:
    return "\n".join(f"{stage}: {ranges(of_stage['epoch'].unique())}" for stage, of_stage in graphs.groupby("stage"))


def _prune(store: "GraphStore", plan: "RetentionPlan", console: Console) -> None:
    from attrgraph_core.store.sizes import disk_bytes

    before, bytes_before = store.counts(), disk_bytes(store.connection)
    with console.status("deleting") as status:
        pruned = store.prune(plan, lambda done, total: status.update(f"deleting: {done} of {total} graphs"))
    after, bytes_after = store.counts(), disk_bytes(store.connection)
    console.print(
        f"Deleted {pruned.graph_count} graphs with {pruned.edge_count:,} edges and {pruned.circuit_count} circuits.\n"
        f"nodes:         {before[0]:>12,} before, {after[0]:>12,} now\n"
        f"relationships: {before[1]:>12,} before, {after[1]:>12,} now",
        highlight=False,
    )
    if bytes_before is not None and bytes_after is not None:
        console.print(f"store on disk: {bytes_before / 1e6:>9,.1f} MB before, {bytes_after / 1e6:>9,.1f} MB now")
    if pruned.skipped:
        console.print(f"{len(pruned.skipped)} graphs stay: they were written or chosen from meanwhile.")
    console.print(
        "Neo4j keeps the files' size and fills the free places with what is written next. To shrink the files, write "
        "the store anew: docs/graph.md says how.",
        soft_wrap=True,
    )
