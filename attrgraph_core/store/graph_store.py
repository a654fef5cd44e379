"""Attribution graphs in Neo4j: saving, asking, reading back."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pandas as pd

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.graph.sparsify import EDGE_MASS, MAX_EDGES_PER_NEURON, sparsify
from attrgraph_core.store import deletion, graph_ids, provenance, retention, runs
from attrgraph_core.store.archive.export import Progress, export_runs
from attrgraph_core.store.archive.importing import import_runs
from attrgraph_core.store.archive.manifest import Manifest
from attrgraph_core.store.computed import compute
from attrgraph_core.store.connection import Connection, resolve_connection
from attrgraph_core.store.database import Database
from attrgraph_core.store.graph_reader import read_graph
from attrgraph_core.store.graph_writer import StoredGraph, write_graph
from attrgraph_core.store.parameters import LISTED_BY
from attrgraph_core.store.queries import CypherQuery, check_parameters, load_query
from attrgraph_core.store.schema import apply_schema
from attrgraph_core.store.steady_reading import GRAPH_IDS, being_written, reach_of, read_steadily

READ_TIMEOUT_SECONDS, READ_ROWS = 60.0, 100_000  # of somebody's own Cypher
KINDS_OF_ID = {
    "graph_id": "complete graph", "other_graph_id": "complete graph", "run_id": "run", "other_run_id": "run",
    "stage_id": "stage", "circuit_id": "circuit", "experiment": "experiment",
}  # fmt: skip

Found = TypeVar("Found")


class GraphStore:
    """The graphs of one Neo4j server; a context manager. Every method raises AttrGraphError for what it cannot do."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self._database = Database(connection)
        try:
            apply_schema(self._database.driver, connection)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, connection: Connection | None = None) -> Self:
        """The store at `connection`; without one that of NEO4J_URI, or the embedded server, started if it is down."""
        return cls(resolve_connection() if connection is None else connection)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def save(
        self,
        graph: AttributionGraph,
        *,
        run_id: str,
        stage: int,
        epoch: int,
        loss: float | None = None,
        accuracy: float | None = None,
        edge_mass: float = EDGE_MASS,
        max_edges_per_neuron: int = MAX_EDGES_PER_NEURON,
        imported_from: str | None = None,
        makes_run: bool = True,
    ) -> StoredGraph:
        """Keep the strongest edges of a graph (see `sparsify`) under `<run_id>/stage_<k>/epoch_<n>/<method>/<target>`.

        The run (unless `makes_run` is false: then it is refused), the stage (from 1) and the snapshot are made where
        they are missing. A graph of that id is replaced,
        and one of the same content left as it is. Until the last batch is written readers see no such graph. Nothing
        is written of a malformed graph. `imported_from` is the file that it came from: such a graph is never taken for
        the newest while there are others.
        """
        graph_id = graph_ids.graph_id(run_id, stage, epoch, graph.method, graph.target)
        sparse = sparsify(graph, edge_mass, max_edges_per_neuron)
        for layer in sparse.layers:
            graph_ids.check_name("layer", layer)
        snapshot_id = provenance.write_snapshot(self._database, run_id, stage, epoch, loss, accuracy, makes_run)
        origin = {"run_id": run_id, "imported_from": imported_from}
        write_graph(self._database, sparse, graph_id=graph_id, snapshot_id=snapshot_id, origin=origin)
        return StoredGraph(
            graph_id=graph_id,
            target=graph.target,
            node_count=len(sparse.graph.neurons),
            edge_count=len(sparse.graph.edges),
            total_edge_count=sparse.total_edge_count,
            kept_mass=sparse.kept_mass,
            completeness_delta=graph.completeness_delta,
        )

    def query(self, name: str | CypherQuery, **parameters: Any) -> pd.DataFrame:
        """The rows of a query of `cypher/analysis/`, a column a column of its header. Raises for an unknown id, too.

        Where its header says `@computed`, the graph is read and that is computed first. All rows are of graphs that
        stayed whole while they were read; raises AttrGraphError where one is replaced again and again meanwhile.
        """
        query = load_query(name) if isinstance(name, str) else name
        values = check_parameters(query, parameters)

        def read() -> pd.DataFrame:
            computed = None
            if query.computed is not None:
                computed = compute(query, self.graph(values["graph_id"]), values)
            return self._database.read(query, parameters, computed)

        reach = reach_of(query, values)
        table = self._whole(parameters, lambda: read_steadily(self._database, reach, read))
        if table.empty:
            self._refuse_unknown_ids(parameters)
        return table

    def run_cypher(
        self,
        text: str,
        parameters: Mapping[str, Any] | None = None,
        read_only: bool = True,
        timeout: float | None = READ_TIMEOUT_SECONDS,
        max_rows: int | None = READ_ROWS,
    ) -> pd.DataFrame:
        """The rows of any Cypher statement; read-only, the server refuses one that writes.

        Raises AttrGraphError where it takes longer than `timeout` seconds or gives more than `max_rows` rows; None
        allows any. Statements that may write have no such limits.
        """
        limits = (timeout, max_rows) if read_only else (None, None)
        return self._database.run(text, parameters or {}, read_only, *limits)

    def explain(self, query: str | CypherQuery, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The server's plan of a query, or of any Cypher text: operatorType, args, children. Nothing is run.

        What a query's `@computed` line asks for is not computed: the plan is the same for any rows.
        """
        if isinstance(query, str):
            return self._database.explain(query, parameters or {})
        values = check_parameters(query, parameters or {}, given=[*KINDS_OF_ID, "projection"])
        missing = dict.fromkeys(name for name in query.params if name not in values)
        computed: dict[str, Any] = {query.computed.name: []} if query.computed is not None else {}
        return self._database.explain(query.statements[0], missing | values | computed)

    def graph(self, graph_id: str) -> AttributionGraph:
        """A graph as it is stored: its strongest edges, and the neurons with total_in, kept_in and total_out.

        Raises AttrGraphError for a graph that is not there, or that somebody replaces again and again meanwhile.
        """
        found = self._whole({"graph_id": graph_id}, lambda: read_graph(self._database, graph_id))
        names = ("method", "target", "baseline", "sample_count", "completeness_delta")
        return AttributionGraph(
            neurons=found.neurons, edges=found.edges, **{name: found.properties[name] for name in names}
        )

    def graphs(self, run_id: str | None = None) -> pd.DataFrame:
        """The graphs that can be read, all or of one run: query `epoch_graphs`."""
        return self._database.read(load_query("epoch_graphs"), {"run_id": run_id})

    def save_run(
        self,
        run_id: str,
        experiment: str,
        seed: int,
        config_hash: str,
        code_version: str,
        status: str = "running",
        configuration: Mapping[str, Any] | None = None,
        dagster_run_id: str | None = None,
        makes_run: bool = True,
    ) -> str:
        """Make a run of an experiment (unless `makes_run` is false: refused), or bring it up to date; its id.

        `configuration` (values that JSON has) is what `compare_runs` compares; without it that of before stays.
        """
        written = self._database.write(
            "write_run",
            run_id=graph_ids.check_run_id(run_id),
            experiment=graph_ids.check_name("experiment", experiment),
            seed=int(seed),
            config_hash=config_hash,
            code_version=code_version,
            status=status,
            configuration=None if configuration is None else json.dumps(configuration, sort_keys=True),
            dagster_run_id=dagster_run_id,
            makes_run=makes_run,
        )
        if not written:
            raise provenance.run_is_gone(run_id)
        return run_id

    def finish_run(self, run_id: str, status: str) -> None:
        """Say how a run ended, such as `complete` or `failed`."""
        if not self._database.write("finish_run", run_id=run_id, status=status):
            raise AttrGraphError(f"there is no run {run_id!r} to finish; save_run makes it")

    def save_stage(self, run_id: str, position: int, kind: str, **properties: str | float | int | bool) -> str:
        """Make a stage of a run at a position from 1, or bring it up to date; its id."""
        return provenance.write_stage(self._database, run_id, position, kind, properties)

    def save_circuit(
        self, graph_id: str, query: str | CypherQuery, parameters: Mapping[str, Any], table: pd.DataFrame
    ) -> str:
        """Keep the neurons that a query's table names as a circuit of the graph; its id.

        The table names neurons by columns `layer` and `index`, or by a column `neurons` of lists of '<layer>/<index>'.
        """
        found = load_query(query) if isinstance(query, str) else query
        return provenance.write_circuit(self._database, graph_id, found, parameters, table)

    def save_evidence(self, circuit_id: str, evidence: Mapping[str, Any]) -> None:
        """Keep what was measured of a circuit (see `attrgraph_core.evidence`) in its properties.

        A circuit that is saved again loses it: it may hold other neurons.
        """
        provenance.write_evidence(self._database, circuit_id, evidence)

    def save_neuron_set(self, circuit_ids: Iterable[str], neuron_set: provenance.ChosenNeurons, *, run_id: str) -> str:
        """Keep the neurons that a policy chose from circuits of a run; the id of the set."""
        return provenance.write_neuron_set(self._database, run_id, circuit_ids, neuron_set)

    def save_training(self, run_id: str, position: int, neuron_set_id: str) -> None:
        """Say that the stage at a position trains a neuron set and no other."""
        provenance.write_training(self._database, run_id, position, neuron_set_id)

    def save_matches(self, run_id: str, other_run_id: str, matches: pd.DataFrame) -> int:
        """Keep which neurons of two runs match (see `circuits.matching.match_neurons`) instead of any matches before.

        `matches` has a row a pair: layer, index, other_index, correlation. Gives how many. Nothing is changed where a
        neuron is not stored.
        """
        return provenance.write_matches(self._database, run_id, other_run_id, matches)

    def delete_run(self, run_id: str) -> int:
        """Delete a run with all that hangs on it; how many graphs it had.

        Whoever writes into it meanwhile is refused.
        """
        return deletion.delete_run(self._database, run_id)

    def runs(self, experiment: str | None = None, tag: str | None = None) -> pd.DataFrame:
        """All runs, newest first, or those of an experiment or with a tag."""
        return runs.list_runs(self._database, experiment, tag)

    def find_run(self, given: str) -> str:
        """The id of the run of this id or name, or of the only one whose id begins so."""
        return runs.find_run(self._database, given)

    def describe_run(self, run_id: str) -> tuple[dict[str, Any], pd.DataFrame]:
        """A run's properties, and a table of its stages."""
        return runs.describe_run(self._database, run_id)

    def compare_runs(self, run_ids: Sequence[str]) -> pd.DataFrame:
        """Runs side by side: the settings in which they differ, and how their stages ended."""
        return runs.compare_runs(self._database, run_ids)

    def annotate_run(
        self, run_id: str, name: str | None = None, tags: Sequence[str] | None = None, note: str | None = None
    ) -> None:
        """Give a run a name, tags, a note; None leaves what is there, '' and () remove it."""
        runs.annotate_run(self._database, run_id, name, tags, note)

    def plan_retention(
        self,
        rules: retention.RetentionRules,
        run_ids: Sequence[str] | None = None,
        experiments: Sequence[str] | None = None,
    ) -> retention.RetentionPlan:
        """What rules keep and what would go, of some runs or experiments, or of all. Changes nothing."""
        for run_id in run_ids or ():
            self._refuse_unknown_ids({"run_id": run_id})
        for experiment in experiments or ():
            self._refuse_unknown_ids({"experiment": experiment})
        return retention.plan_retention(self._database, rules, run_ids, experiments)

    def prune(
        self, plan: retention.RetentionPlan, on_graph: Callable[[int, int], None] | None = None
    ) -> retention.Pruned:
        """Delete the graphs that a plan lets go; `on_graph` is told how many of how many are done."""
        return retention.prune(self._database, plan, on_graph)

    def pruned_snapshots(self, run_id: str) -> set[str]:
        """The snapshots of a run whose graphs retention deleted."""
        return set(self._database.read(load_query("lookup/pruned_snapshots"), {"run_id": run_id})["snapshot_id"])

    def counts(self) -> tuple[int, int]:
        """How many nodes and relationships the database holds."""
        row = self._database.read(load_query("lookup/store_counts"), {}).iloc[0]
        return int(row["node_count"]), int(row["relationship_count"])

    def sizes(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """How many nodes and relationships of each kind there are, and how large each run is."""
        kinds, runs = (self._database.read(load_query(f"lookup/{name}"), {}) for name in ("kind_counts", "run_sizes"))
        return kinds, runs

    def export_runs(
        self, folder: Path, run_ids: Sequence[str] | None = None, on_progress: Progress = lambda *_: None
    ) -> Manifest:
        """Write runs, all without `run_ids`, to an archive of Parquet files, the new folder `folder`."""
        return export_runs(self._database, folder, run_ids, on_progress)

    def import_runs(self, folder: Path, on_progress: Progress = lambda *_: None) -> Manifest:
        """Write the runs of an archive beside what is there, through the server. A run that is there is refused."""
        return import_runs(self._database, folder, on_progress)

    def _whole(self, asked: Mapping[str, Any], read: Callable[[], Found | None]) -> Found:
        """What `read` gives, which is None where a graph that was asked for is not complete."""
        found = read()
        if found is None:
            self._refuse_unknown_ids(asked)
            found = read()  # it was completed in between
        if found is None:
            raise being_written(*(asked[name] for name in GRAPH_IDS if asked.get(name) is not None))
        return found

    def _refuse_unknown_ids(self, parameters: Mapping[str, Any]) -> None:
        """An empty table of a graph that is not there would read as an answer."""
        asked = {name: parameters[name] for name in KINDS_OF_ID if parameters.get(name) is not None}
        if not asked:
            return
        known = self._database.read(load_query("lookup/known_ids"), {}).iloc[0]
        for name, value in asked.items():
            ids = known[f"{name.removeprefix('other_')}s"]
            if value in ids:
                continue
            near = difflib.get_close_matches(value, ids, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            rest = f"`{LISTED_BY[name]}` shows the {len(ids)} that are there" if ids else "the store holds none"
            raise AttrGraphError(f"there is no {KINDS_OF_ID[name]} {value!r}; {hint}{rest}")
