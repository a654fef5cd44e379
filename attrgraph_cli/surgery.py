"""`attrgraph surgery`: remove the edges to blame for a fault, and say whether anything simpler does as well."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from attrgraph_cli.diagnose import Bad, Good, Run, Unroll
from attrgraph_cli.progress_bars import progress_bars
from attrgraph_cli.tables import print_table

if TYPE_CHECKING:
    from attrgraph_core.surgery.operation import Operation

Name = Annotated[str, typer.Option(help="Name of this surgery, and of its folder.")]


class _OperatesByDefault(TyperGroup):
    """`attrgraph surgery RUN` is `attrgraph surgery operate RUN`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["operate", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_OperatesByDefault,
    help="Mend a fault of a run's network: `attrgraph surgery RUN --bad FILE`. Undo it: `attrgraph surgery undo RUN`.",
    no_args_is_help=True,
)


@app.command()
def operate(
    run: Run,
    bad: Bad,
    good: Good = "right",
    name: Name = "surgery",
    stage: Annotated[int | None, typer.Option(help="Of this stage; without, the last.")] = None,
    epoch: Annotated[int | None, typer.Option(help="After this epoch; without, the last.")] = None,
    unroll: Unroll = False,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each fine-tuning.")] = 100,
) -> None:
    """Remove the edges to blame for a fault, at the dose that validation chooses, beside every control.

    The samples are split: 40 % find edges and fine-tune, 30 % choose each method's dose and learning rate, 30 % are
    looked at once, for the report. The run's own weights stay as they are; the mended ones, the way back and the report
    go to runs/<run>/surgery/<name>/.

    Example: attrgraph surgery digits --bad patched.npz --good clean.npz
    """
    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.surgery.samples import Case
    from pipelines.diagnosis import samples_of
    from pipelines.operation_run import run_operation
    from pipelines.run_model import open_run

    console = Console() if sys.stdout.isatty() else Console(width=200)
    with GraphStore.open() as store, progress_bars(console):
        opened = open_run(store, run, stage, epoch, unroll)
        case = Case(samples_of(store, opened, bad), samples_of(store, opened, good))
        operation, folder = run_operation(store, opened, case, name, steps)
    _report(operation)
    typer.echo(f"\nWeights, report and way back: {folder}\nUndo: attrgraph surgery undo {opened.run_id} --name {name}")


@app.command()
def undo(run: Run, name: Name = "surgery") -> None:
    """Write the weights of before a surgery, bit for bit, from the mended ones and what was kept."""
    from attrgraph_core.store.graph_store import GraphStore
    from pipelines.operation_run import undo_operation

    with GraphStore.open() as store:
        run_id = store.find_run(run)
    typer.echo(f"Restored, the same to the bit: {undo_operation(run_id, name)}")


def _report(operation: "Operation") -> None:
    typer.echo(f"Removing {len(operation.edges)} edges; by dose, on the validation part:")
    print_table(operation.doses)
    typer.echo("\nOn the test part (gain: balance of the operation over it, with its paired 95 % interval):")
    print_table(operation.table)
    typer.echo(f"\nAdvice: {operation.advice}")
