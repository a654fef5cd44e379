"""`attrgraph run` of a comparison: ways of training at equal epochs and at equal compute."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from attrgraph_cli.progress_bars import progress_bars

if TYPE_CHECKING:
    import pandas as pd


def run_comparison_file(
    path: Path, seed: list[int] | None, fresh: bool, device: str, check: bool, console: Console
) -> None:
    """Check a comparison file, train its variants and print the table."""
    from attrgraph_core.errors import AttrGraphError
    from attrgraph_core.training.device import choose_device
    from pipelines.comparison import comparison_summary, curves_path, run_comparison
    from pipelines.comparison_file import load_comparison
    from pipelines.feasibility import check_feasible

    comparison = load_comparison(path)
    seeds = comparison.chosen_seeds(seed)
    with console.status("checking the comparison"):
        chosen = choose_device(device)
        for variant in comparison.variants:
            try:
                check_feasible(comparison.experiment_of(variant))
            except AttrGraphError as error:
                raise AttrGraphError(f"{comparison.where('variants', variant)}: {error}") from error
    if check:
        console.print(
            f"{path}: comparison {comparison.name!r} is valid: {len(comparison.variants)} variants, seeds {list(seeds)}"
        )
        return
    with progress_bars(console):
        curves = run_comparison(comparison, seeds, chosen, fresh=fresh)
    console.print(_as_rich(comparison_summary(curves)))
    console.print(
        "FLOPs are counted, those of scoring included. The std is over seeds.\n"
        "Compute is that of the cheapest variant.\n"
        f"Curves by epoch:    {curves_path(comparison)}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip


def _as_rich(summary: "pd.DataFrame") -> Table:
    first = summary.iloc[0]
    table = Table(title=f"Accuracy of the variants, {_over(first['seeds'])}")
    table.add_column("variant", no_wrap=True)
    for column in (
        f"after {first['epochs']} epochs", "GFLOPs", "of it scoring",
        f"after {first['flops'] / 1e9:.2f} GFLOPs", "epochs",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for row in summary.itertuples():
        table.add_row(
            str(row.variant),
            _spread(row.accuracy_at_epochs, row.std_at_epochs),
            f"{row.flops_at_epochs / 1e9:.2f}",
            f"{row.scoring_share:.1%}",
            _spread(row.accuracy_at_flops, row.std_at_flops),
            f"{row.epochs_at_flops:.1f}",
        )
    return table


def _spread(mean: float, deviation: float) -> str:
    """Both, or the mean alone of a single seed."""
    return f"{mean:.4f}" if math.isnan(deviation) else f"{mean:.4f} ± {deviation:.4f}"


def _over(seeds: int) -> str:
    return "of one seed" if seeds == 1 else f"mean and std over {seeds} seeds"
