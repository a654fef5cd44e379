"""`attrgraph run`: train an experiment, the same assets that Dagster's UI shows."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from attrgraph_cli.progress_bars import progress_bars
from attrgraph_core.errors import AttrGraphError

if TYPE_CHECKING:
    import dagster as dg
    import pandas as pd

    from pipelines.experiments import Experiment


def run(
    experiment: Annotated[str, typer.Argument(help="An experiment file, or the name of one in ./experiments.")],
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed of the experiment; may be repeated.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, also where a run was interrupted.")] = False,
    device: Annotated[str, typer.Option(help="auto (CUDA where present), cpu, or cuda.")] = "auto",
    check: Annotated[bool, typer.Option("--check", help="Only check the experiment file; write nothing.")] = False,
) -> None:
    """Train an experiment stage by stage: weights, attribution graphs in Neo4j, circuits, and the next stage's neurons.

    A run that was interrupted goes on after the last step that was finished. The run's weights and tables are kept in
    ./runs (ATTRGRAPH_RUNS), Dagster's history in ./.dagster_home (DAGSTER_HOME).

    A file with variants instead of stages is a comparison: each variant is trained for each seed, and a table shows
    them at equal epochs and at equal compute. It keeps no graphs, and needs neither Neo4j nor Dagster.
    """
    from attrgraph_cli.comparison import run_comparison_file
    from pipelines.experiments import is_comparison, load_experiment
    from pipelines.feasibility import check_feasible

    # Without a terminal there is no width to keep to.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    path = _experiment_path(experiment)
    if is_comparison(path):
        run_comparison_file(path, seed, fresh, device, check, console)
        return
    # This file alone: what else lies in its folder may be no experiment, or a broken one.
    os.environ["ATTRGRAPH_EXPERIMENTS"], os.environ["ATTRGRAPH_STUDIES"] = str(path.absolute()), ""
    loaded = load_experiment(path)
    seeds = loaded.chosen_seeds(seed)
    with console.status("checking the experiment"):
        from attrgraph_core.training.device import choose_device

        choose_device(device)
        check_feasible(loaded)
    if check:
        console.print(f"{path}: experiment {loaded.name!r} is valid: {len(loaded.stages)} stages, seeds {list(seeds)}")
        return
    _launch(loaded, seeds, fresh, device, console)
    _report(loaded, seeds, console)


def _experiment_path(given: str) -> Path:
    """The file of an experiment, by its path or by its name in the folder of experiments."""
    from pipelines.experiments import experiments_folder

    if Path(given).is_file():
        return Path(given)
    folder = experiments_folder()
    named = [folder / f"{given}{suffix}" for suffix in (".yaml", ".yml")]
    for path in named:
        if path.is_file():
            return path
    known = sorted(path.stem for path in folder.glob("*.y*ml"))
    raise AttrGraphError(
        f"there is no experiment file {given!r}, nor one of that name in {folder}/; "
        + (f"known there are {', '.join(known)}" if known else "give the path of an experiment file")
    )


def _launch(experiment: "Experiment", seeds: tuple[int, ...], fresh: bool, device: str, console: Console) -> None:
    import dagster as dg

    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.store.provenance import run_is_gone
    from pipelines.instance import prepare_dagster_home
    from pipelines.resume import assets_of, forget_records, pending_assets
    from pipelines.run_lock import run_lock

    prepare_dagster_home()
    with dg.DagsterInstance.get() as instance:
        for seed in seeds:
            with run_lock(experiment.run_id(seed)):
                with console.status("connecting to Neo4j"), GraphStore.open() as store:
                    states = store.runs(experiment.name).set_index("run_id")["status"]
                    if states.get(experiment.run_id(seed)) == "deleting":  # refused now, not after its first stage
                        raise run_is_gone(experiment.run_id(seed))
                    pending = [] if fresh else pending_assets(experiment, seed, store)
                is_new = pending in ([], assets_of(experiment))
                if is_new:
                    forget_records(experiment, seed)
                    pending = assets_of(experiment)
                    console.print(f"[bold]{experiment.name}[/], seed {seed}: run {experiment.run_id(seed)}")
                else:
                    console.print(
                        f"[bold]{experiment.name}[/], seed {seed}: run {experiment.run_id(seed)} was interrupted; "
                        f"going on with {pending[0]} (--fresh begins anew)",
                        soft_wrap=True,
                    )
                _run_seed(experiment, seed, pending, device, instance, console)
        _compare(experiment, instance)


def _run_seed(
    experiment: "Experiment",
    seed: int,
    pending: list[str],
    device: str,
    instance: "dg.DagsterInstance",
    console: Console,
) -> None:
    import dagster as dg

    from pipelines.definitions import defs
    from pipelines.partitions import partition_key

    with progress_bars(console):
        try:
            result = defs.resolve_job_def("targeted_training").execute_in_process(
                instance=instance,
                partition_key=partition_key(experiment.name, seed),
                asset_selection=[dg.AssetKey(name) for name in pending],
                run_config=_run_config() | {"resources": {"device": {"config": {"name": device}}}},
                raise_on_error=False,
            )
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            raise KeyboardInterrupt from None
    if result.success:
        return
    failures = [event for event in result.all_events if event.is_step_failure]
    if any(_was_interrupted(failure) for failure in failures):
        raise KeyboardInterrupt
    raise AttrGraphError(
        f"run {experiment.run_id(seed)} failed: {_describe(failures, result)} "
        "(the same command goes on from there; --debug and `attrgraph ui` show more)"
    )


def _was_interrupted(failure: "dg.DagsterEvent") -> bool:
    """Whether the step ended by a Ctrl-C: by the class of its error, whose message may say anything."""
    error = failure.step_failure_data.error
    while error is not None:
        if error.cls_name in ("KeyboardInterrupt", "DagsterExecutionInterruptedError"):
            return True
        error = error.cause
    return False


def _describe(failures: "list[dg.DagsterEvent]", result: "dg.ExecuteInProcessResult") -> str:
    """The failing step and its first cause, in one line."""
    if not failures:
        checks = result.get_asset_check_evaluations()
        failed = [f"check {c.check_name} of {c.asset_key.to_user_string()} failed" for c in checks if not c.passed]
        return ", ".join(failed) or "see the run in Dagster"
    data = failures[0].step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return f"{failures[0].step_key}: {data.user_failure_data.description}"
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    message = error.message.strip() if error else "unknown error"
    return f"{failures[0].step_key}: {message.partition(': ')[2] or message}"


def _run_config() -> dict[str, object]:
    """Dagster's own log goes to its instance; the terminal shows it with --debug only."""
    level = "DEBUG" if os.environ.get("ATTRGRAPH_DEBUG") else "CRITICAL"
    return {"loggers": {"console": {"config": {"log_level": level}}}}


def _compare(experiment: "Experiment", instance: "dg.DagsterInstance") -> None:
    from pipelines.definitions import defs

    defs.resolve_job_def("compare_seeds").execute_in_process(
        instance=instance, partition_key=experiment.name, run_config=_run_config()
    )


def _report(experiment: "Experiment", seeds: tuple[int, ...], console: Console) -> None:
    from pipelines.run_folder import run_folder
    from pipelines.summary import summary_table

    table = summary_table(experiment, seeds)
    console.print(_as_rich(table, several_seeds=len(seeds) > 1))
    graph_id = f"{experiment.run_id(seeds[0])}/stage_{len(experiment.stages)}"
    console.print(
        f"\nWeights and tables: {run_folder(experiment.run_id(seeds[0]))}\n"
        "Ask the graphs:     attrgraph query --list; attrgraph query top_influential_neurons\n"
        f"Who chose neurons:  attrgraph query choosing_query --param stage_id={graph_id}\n"
        "Look around:        attrgraph ui (Dagster's lineage, plots and checks; Neo4j Browser's address)",
        soft_wrap=True,
        highlight=False,
    )


def _as_rich(summary: "pd.DataFrame", several_seeds: bool) -> Table:
    columns = ["seed"] if several_seeds else []
    columns += [
        "stage", "trained by", "neurons trained", "weights trained", "epochs", "accuracy", "training seconds",
        "graphs seconds", "graph size: neurons, edges", "edges kept", "completeness delta",
    ]  # fmt: skip
    table = Table(title="What each stage trained, and what its graphs hold")
    for column in columns:
        is_name = column == "trained by"
        table.add_column(column, justify="left" if is_name else "right", overflow="fold", no_wrap=is_name)
    for row in summary.itertuples():
        cells = [str(row.seed)] if several_seeds else []
        cells += [
            str(row.stage),
            str(row.policy),
            f"{row.trained_neurons}/{row.neurons}",
            f"{row.weights_trained:.1%}",
            str(row.epochs),
            f"{row.accuracy:.4f}",
            f"{row.training_seconds:.1f}",
            f"{row.graph_seconds:.1f}",
            f"{row.graph_neurons}, {row.graph_edges}",
            f"{row.edges_kept:.1%}",
            f"{row.completeness_delta:.1e}",
        ]
        table.add_row(*cells)
    return table
