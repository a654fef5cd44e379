"""The recipes as jobs: what `attrgraph diagnose`, `surgery` and `stream` do, started in Dagster's UI or by its API."""

import dagster as dg
from pydantic import Field

from pipelines.failures import failures_named
from pipelines.pictures import picture_metadata, table_metadata
from pipelines.resources import GraphStoreResource


class CaseConfig(dg.Config):
    """A run by id or name, and the samples that fail and that must go on working, as the commands take them."""

    run: str
    bad: str = Field(description="a .npz, `wrong`, or a Cypher query that returns a column sample or label")
    good: str = "right"
    stage: int | None = None
    epoch: int | None = None
    unroll: bool = Field(default=False, description="edges of single positions: convolutions are unrolled")


class SurgeryConfig(CaseConfig):
    name: str = "surgery"
    steps: int = Field(default=100, ge=1)


class StreamConfig(dg.Config):
    """As `attrgraph stream`; without recycling is always among the methods."""

    dataset: str = "digits"
    model: str = "mlp"
    change: str = "inputs"
    tasks: int = Field(default=20, ge=1)
    epochs: int = Field(default=2, ge=1)
    optimizer: str = "adam"
    learning_rate: float = Field(default=3e-3, gt=0)
    rate: float = 0.02
    every: int = Field(default=20, ge=1)
    utilities: list[str] = Field(default_factory=lambda: ["influence", "random"])
    seeds: list[int] = Field(default_factory=lambda: [0])


@dg.op(out=dg.Out(dg.Nothing))
def diagnose_run(context: dg.OpExecutionContext, config: CaseConfig, graph_store: GraphStoreResource) -> None:
    """Rank the inputs and edges to blame; both graphs stay in Neo4j, and the ranks are metadata."""
    with failures_named(), graph_store.open() as store:
        from pipelines.diagnosis import diagnose, samples_of
        from pipelines.pictures import draw_input_influence
        from pipelines.run_model import open_run

        opened = open_run(store, config.run, config.stage, config.epoch, config.unroll)
        bad, good = (samples_of(store, opened, given) for given in (config.bad, config.good))
        found = diagnose(store, opened, bad, good)
    blame = found.inputs.sort_values("index")["blame"].to_numpy()
    figure = draw_input_influence(blame, opened.data.input_shape, "share of the failure less share of good samples")
    context.add_output_metadata(
        {
            "bad_samples": len(bad.labels),
            "bad_samples_that_fail": found.failure_count,
            "inputs_to_blame": table_metadata(found.inputs),
            "edges_to_blame": table_metadata(found.edges),
            "blame": picture_metadata(figure),
            "failure_graph_id": found.failure_graph_id,
            "success_graph_id": found.success_graph_id,
        }
    )


@dg.op(out=dg.Out(dg.Nothing))
def operate_on_run(context: dg.OpExecutionContext, config: SurgeryConfig, graph_store: GraphStoreResource) -> None:
    """Remove the edges to blame beside all controls; weights, report and way back go to the run's folder."""
    with failures_named(), graph_store.open() as store:
        from attrgraph_core.surgery.samples import Case
        from pipelines.diagnosis import samples_of
        from pipelines.operation_run import run_operation
        from pipelines.run_model import open_run

        opened = open_run(store, config.run, config.stage, config.epoch, config.unroll)
        case = Case(*(samples_of(store, opened, given) for given in (config.bad, config.good)))
        operation, folder = run_operation(store, opened, case, config.name, config.steps)
    context.log.info(operation.advice)
    context.add_output_metadata(
        {
            "advice": operation.advice,
            "removed_edges": len(operation.edges),
            "report": table_metadata(operation.table),
            "doses": table_metadata(operation.doses, rows=100),
            "folder": dg.MetadataValue.path(str(folder)),
        }
    )


@dg.op(out=dg.Out(dg.Nothing))
def run_stream_of_tasks(context: dg.OpExecutionContext, config: StreamConfig) -> None:
    """Train on task after task, without recycling and with it; how well each is learned is metadata."""
    with failures_named():
        from pipelines.stream_run import NONE, StreamSettings, run_streams, stream_summary

        settings = config.model_dump()
        utilities, seeds = settings.pop("utilities"), tuple(settings.pop("seeds"))
        table = run_streams(StreamSettings(**settings, seeds=seeds), [NONE, *utilities])
    context.add_output_metadata(
        {"summary": table_metadata(stream_summary(table)), "tasks": table_metadata(table, rows=1000)}
    )


@dg.job(executor_def=dg.in_process_executor, description="Which inputs and edges are to blame for a run's failures.")
def diagnosis() -> None:
    diagnose_run()


@dg.job(executor_def=dg.in_process_executor, description="Remove the edges to blame for a fault, beside all controls.")
def surgery() -> None:
    operate_on_run()


@dg.job(executor_def=dg.in_process_executor, description="A stream of changing tasks with and without recycling.")
def stream() -> None:
    run_stream_of_tasks()
