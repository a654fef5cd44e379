"""`attrgraph diagnose`: which inputs and edges are to blame for a run's failures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attrgraph_cli.tables import print_table
from attrgraph_core.errors import AttrGraphError

if TYPE_CHECKING:
    import pandas as pd

    from attrgraph_core.store.graph_store import GraphStore
    from pipelines.diagnosis import Diagnosis
    from pipelines.run_model import RunModel

PICTURES = (".png", ".svg", ".pdf")

Run = Annotated[str, typer.Argument(help="A run's id, its name, or the beginning of its id.")]
Bad = Annotated[
    str,
    typer.Option(
        help="Samples that fail: a .npz with arrays inputs and labels (the right ones), or `wrong`: the run's test "
        "samples that it gets wrong, or a Cypher query that returns a column `sample` (places in the test set) or "
        "`label` (classes); it may use $run_id, $stage and $epoch."
    ),
]
Good = Annotated[str, typer.Option(help="Samples that must go on working: a .npz, `right`, or a query.")]
Unroll = Annotated[
    bool,
    typer.Option(
        "--unroll", help="Unroll convolutions into linear layers: edges of single positions, not of whole channels."
    ),
]


def diagnose(
    run: Run,
    bad: Bad,
    good: Good = "right",
    stage: Annotated[int | None, typer.Option(help="Of this stage; without, the last.")] = None,
    epoch: Annotated[int | None, typer.Option(help="After this epoch; without, the last.")] = None,
    every_epoch: Annotated[
        bool, typer.Option("--every-epoch", help="Ask every epoch: when did the fault appear?")
    ] = False,
    unroll: Unroll = False,
    truth: Annotated[
        Path | None, typer.Option(help="A .npy of one input's shape, not 0 where an input is to blame: gives AUROC.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many rows to show.")] = 10,
    picture: Annotated[Path | None, typer.Option(help="Draw the inputs' blame into this .png, .svg or .pdf.")] = None,
) -> None:
    """Rank the input neurons and edges that carry a failure and that good samples do without.

    Two graphs are kept in Neo4j, of the failing samples for the margin of the wrong over the right class and of the
    good samples for their own; the queries `blamed_inputs` and `failure_edges` over them can be asked again.

    Example: attrgraph diagnose digits --bad patched.npz --good right --picture blame.png
    """
    from attrgraph_core.store.graph_store import GraphStore
    from pipelines.diagnosis import diagnose, samples_of
    from pipelines.run_model import open_run

    if picture is not None:
        _check_picture(picture, every_epoch)
    with GraphStore.open() as store:
        opened = open_run(store, run, stage, epoch, unroll)
        samples = samples_of(store, opened, bad), samples_of(store, opened, good)
        known = _truth(truth, opened.data.input_shape)
        if every_epoch:
            print_table(_through_time(store, opened, samples, known))
            return
        found = diagnose(store, opened, *samples)
    typer.echo(f"{found.failure_count} of {len(samples[0].labels)} bad samples fail.")
    typer.echo("\nInputs to blame:")
    print_table(found.inputs.head(top))
    if known is not None:
        typer.echo(f"AUROC of the inputs' blame: {_auroc(found, known):.4f}")
    typer.echo("\nEdges to blame:")
    print_table(found.edges.head(top))
    if picture is not None:
        _draw(found, opened, picture)
        typer.echo(f"\nPicture: {picture}")
    typer.echo(
        f"\nAsk again: attrgraph query failure_edges --param graph_id={found.failure_graph_id} "
        f"--param other_graph_id={found.success_graph_id}"
    )


def _through_time(
    store: "GraphStore", last: "RunModel", samples: tuple["object", "object"], truth: "pd.Series | None"
) -> "pd.DataFrame":
    import pandas as pd

    from pipelines.diagnosis import diagnose
    from pipelines.run_model import checkpoints_of, open_run

    rows = []
    for stage, checkpoint in checkpoints_of(last.run_id):
        opened = open_run(store, last.run_id, stage, checkpoint.epoch, last.is_unrolled)
        try:
            found = diagnose(store, opened, *samples)  # type: ignore[arg-type]
        except AttrGraphError as error:
            rows.append({"stage": stage, "epoch": checkpoint.epoch, "failures": 0, "note": str(error)})
            continue
        first = found.inputs.iloc[0]
        row = {"stage": stage, "epoch": checkpoint.epoch, "failures": found.failure_count, "note": ""}
        row |= {"input": int(first["index"]), "blame": float(first["blame"])}
        rows.append(row | ({} if truth is None else {"auroc": _auroc(found, truth)}))
    return pd.DataFrame(rows)


def _truth(path: Path | None, shape: tuple[int, ...]) -> "pd.Series | None":
    import numpy as np
    import pandas as pd

    if path is None:
        return None
    try:
        values = np.load(path)
    except (OSError, ValueError) as error:
        raise AttrGraphError(f"cannot read {path} as .npy: {error}") from error
    if not isinstance(values, np.ndarray):
        with values:
            raise AttrGraphError(f"{path} is not a .npy, but a .npz of {', '.join(values.files)}; save one array")
    if values.shape != shape:
        raise AttrGraphError(f"{path} has shape {values.shape}; one input has {shape}")
    if not 0 < np.count_nonzero(values) < values.size:
        raise AttrGraphError(f"{path} must say of some inputs, and not of all, that they are to blame")
    return pd.Series(values.ravel() != 0)


def _auroc(found: "Diagnosis", truth: "pd.Series") -> float:
    from sklearn.metrics import roc_auc_score

    blame = found.inputs.set_index("index")["blame"].reindex(truth.index).fillna(0.0)
    return float(roc_auc_score(truth, blame))


def _check_picture(path: Path, every_epoch: bool) -> None:
    if every_epoch:
        raise AttrGraphError("--picture is of one epoch; name it by --stage and --epoch in place of --every-epoch")
    if path.suffix not in PICTURES:
        raise AttrGraphError(f"--picture {path} does not end in {', '.join(PICTURES)}")
    if not path.absolute().parent.is_dir():
        raise AttrGraphError(f"--picture {path}: there is no folder {path.absolute().parent}")


def _draw(found: "Diagnosis", run: "RunModel", path: Path) -> None:
    from pipelines.pictures import draw_input_influence

    blame = found.inputs.sort_values("index")["blame"].to_numpy()
    figure = draw_input_influence(blame, run.data.input_shape, "share of the failure less share of good samples")
    try:
        figure.savefig(path, dpi=120, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise AttrGraphError(f"cannot draw into {path}: {error}") from error
