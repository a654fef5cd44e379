"""`attrgraph methods`: what each attribution method needs, keeps and costs."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def methods(
    measure: Annotated[bool, typer.Option(help="Measure the costs on this machine; takes some seconds.")] = True,
) -> None:
    """Show the attribution methods: what they need, what they conserve, what is claimed and what they cost here.

    The measured cost is the time of all edges of a small MLP over that of a training step of the same batch.
    """
    from attrgraph_core.attribution.properties import PROPERTIES, measure_costs

    console = Console()
    costs: dict[str, float] = {}
    if measure:
        with console.status("measuring"):
            costs = measure_costs()
    table = Table(title="Attribution methods", show_lines=True)
    for column in ("method", "makes", "needs", "conserves", "passes a sample", "strengths", "weaknesses"):
        table.add_column(column, overflow="fold", no_wrap=column == "method")
    for column in ("cost claimed", "x a training step", "interpretability claimed"):
        table.add_column(column, justify="right")
    for row in PROPERTIES:
        measured = f"{costs[row.name]:.1f}" if row.name in costs else "not measured"
        table.add_row(
            row.name, row.makes, row.needs, row.conserves, row.passes, row.strengths, row.weaknesses, row.cost_class,
            measured, row.interpretability,
        )  # fmt: skip
    console.print(table)
