"""Retention: which snapshots keep their graphs, and deleting the graphs of the others.

A snapshot that loses its graphs stays, with its loss, its accuracy and the time (`pruned_at`), so that curves stay
whole and a pruned run is not taken for an interrupted one. A graph that a neuron set was chosen from is never deleted:
what a stage trained rests on it. The same rules applied twice keep the same.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_lanes import overtaken
from attrgraph_core.store.graph_writer import delete_content
from attrgraph_core.store.queries import load_query

BEST_BY = ("accuracy", "loss")
TRAINING_RESTS_ON_IT = "training"
RUNNING = "running"


@dataclass(frozen=True)
class RetentionRules:
    """What is kept of each run; a snapshot that any rule names stays.

    `last`: this many newest snapshots. `every`: epochs divisible by this number, of every stage. `stage_ends`: the last
    snapshot of each stage. `best`: the snapshot of highest `accuracy` or lowest `loss`. Raises AttrGraphError for rules
    that name nothing, which would delete everything.
    """

    last: int | None = None
    every: int | None = None
    stage_ends: bool = False
    best: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("last", self.last), ("every", self.every)):
            if value is not None and value < 1:
                raise AttrGraphError(f"keep {name} is {value}; it must be 1 or more")
        if self.best is not None and self.best not in BEST_BY:
            raise AttrGraphError(f"keep best is {self.best!r}; it must be one of {', '.join(BEST_BY)}")
        if self.last is None and self.every is None and not self.stage_ends and self.best is None:
            raise AttrGraphError(
                "no rule says what to keep, and all graphs would go: give --keep-last, --keep-every, "
                "--keep-stage-ends or --keep-best (attrgraph runs delete deletes whole runs)"
            )


@dataclass(frozen=True)
class RetentionPlan:
    """What rules mean for a store: `graphs` has a row a graph, as `retention_graphs`, and `kept_for`, '' if it goes."""

    graphs: pd.DataFrame

    @property
    def going(self) -> pd.DataFrame:
        return self.graphs[self.graphs["kept_for"] == ""]

    @property
    def kept(self) -> pd.DataFrame:
        return self.graphs[self.graphs["kept_for"] != ""]


@dataclass(frozen=True)
class Pruned:
    """What was deleted. `skipped` graphs were written, or chosen from, after the plan was made, and stay."""

    graph_count: int
    edge_count: int
    circuit_count: int
    skipped: tuple[str, ...]


def plan_retention(
    database: Database,
    rules: RetentionRules,
    run_ids: Sequence[str] | None = None,
    experiments: Sequence[str] | None = None,
) -> RetentionPlan:
    """What the rules keep and what goes, of some runs or experiments, or of all. Changes nothing.

    A run that is `running` keeps everything unless `run_ids` names it: its next step may ask for any of its graphs.
    """
    found = {"run_ids": run_ids and list(run_ids), "experiments": experiments and list(experiments)}
    graphs = database.read(load_query("lookup/retention_graphs"), found)
    if graphs.empty:
        return RetentionPlan(graphs.assign(kept_for=pd.Series(dtype="str")))
    snapshots = graphs.drop_duplicates("snapshot_id").set_index("snapshot_id")
    reasons = pd.concat([_reasons(rules, of_run) for _, of_run in snapshots.groupby("run_id")])
    kept_for = graphs["snapshot_id"].map(reasons)
    if not run_ids:
        kept_for = kept_for.mask((graphs["run_status"] == "running") & (kept_for == ""), RUNNING)
    kept_for = kept_for.mask(graphs["yields_training"] & (kept_for == ""), TRAINING_RESTS_ON_IT)
    return RetentionPlan(graphs.assign(kept_for=kept_for))


def _reasons(rules: RetentionRules, snapshots: pd.DataFrame) -> pd.Series:
    """Why each snapshot of a run, in the order of stages and epochs, is kept; '' where no rule names it."""
    reasons: dict[str, list[str]] = {snapshot_id: [] for snapshot_id in snapshots.index}

    def keep(chosen: pd.Index, reason: str) -> None:
        for snapshot_id in chosen:
            reasons[snapshot_id].append(reason)

    if rules.last is not None:
        keep(snapshots.index[-rules.last :], "last")
    if rules.every is not None:
        keep(snapshots.index[snapshots["epoch"] % rules.every == 0], "every")
    if rules.stage_ends:
        keep(snapshots.index[~snapshots["stage"].duplicated(keep="last")], "stage end")
    if rules.best is not None and snapshots[rules.best].notna().any():
        measured = snapshots[rules.best].dropna()
        keep(pd.Index([measured.idxmax() if rules.best == "accuracy" else measured.idxmin()]), f"best {rules.best}")
    return pd.Series({snapshot_id: ", ".join(found) for snapshot_id, found in reasons.items()}, dtype="object")


def prune(database: Database, plan: RetentionPlan, on_graph: Callable[[int, int], None] | None = None) -> Pruned:
    """Delete the graphs that the plan says, one after the other, each in batches; interrupted, the same goes on again.

    `on_graph` is told how many are done, and of how many. Raises AttrGraphError where a graph is written meanwhile.
    """
    going = plan.going
    edges = circuits = 0
    skipped = []
    for done, row in enumerate(going.itertuples(), start=1):
        writer = uuid.uuid4().hex
        if not database.write("prune_graph", graph_id=row.graph_id, writer=writer):
            skipped.append(str(row.graph_id))
            continue
        delete_content(database, row.graph_id, writer)
        if not database.write("delete_graph", graph_id=row.graph_id, writer=writer):
            raise overtaken(row.graph_id)
        edges += int(row.edge_count)
        circuits += int(row.circuit_count)
        if on_graph is not None:
            on_graph(done, len(going))
    return Pruned(len(going) - len(skipped), edges, circuits, tuple(skipped))
