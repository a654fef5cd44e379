"""What is to blame for a run's failures: two graphs in the store, and queries over them."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.failure_edges import failure_graphs, scores_of
from attrgraph_core.surgery.samples import Samples, load_samples
from attrgraph_core.training.data import fingerprint
from pipelines.run_model import RunModel

if TYPE_CHECKING:
    from attrgraph_core.store.graph_store import GraphStore

EDGE_MASS, MAX_EDGES_PER_NEURON = 0.999, 512
TOP_K = 100_000
WORDS = ("wrong", "right")


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Edges and inputs to blame, most first, as the queries gave them; and what was asked."""

    failure_graph_id: str
    success_graph_id: str
    circuit_id: str
    edges: pd.DataFrame
    inputs: pd.DataFrame
    failure_count: int


def samples_of(store: "GraphStore", run: RunModel, given: str) -> Samples:
    """The samples of a .npz file; or those of the run's test that its network gets `wrong`, or `right`, or that a
    Cypher query names, read-only, with `$run_id`, `$stage` and `$epoch`.

    The query returns a column `sample`, places in the test set, or `label`, classes whose test samples all count.
    Raises AttrGraphError for a file, a word or a query that gives none.
    """
    if re.search(r"\breturn\b", given, re.IGNORECASE):
        return _samples_of_query(store, run, given)
    if given not in WORDS:
        if not Path(given).exists():
            raise AttrGraphError(
                f"{given!r} is no file; samples are a .npz with arrays inputs and labels, `wrong`, `right`, or a query "
                "that returns sample or label"
            )
        return load_samples(Path(given), run.data.input_shape, run.data.class_count)
    inputs, labels = run.data.test_inputs, run.data.test_labels
    is_right = scores_of(run.model, inputs).argmax(dim=1) == labels
    chosen = is_right if given == "right" else ~is_right
    if not bool(chosen.any()):
        raise AttrGraphError(f"the network of run {run.run_id!r} gets no test sample {given}")
    return Samples(inputs[chosen], labels[chosen])


def _samples_of_query(store: "GraphStore", run: RunModel, query: str) -> Samples:
    inputs, labels = run.data.test_inputs, run.data.test_labels
    rows = store.run_cypher(query, {"run_id": run.run_id, "stage": run.stage, "epoch": run.epoch})
    column = next((name for name in ("sample", "label") if name in rows), None)
    if column is None or rows.empty:
        returned = ", ".join(rows.columns) or "nothing"
        raise AttrGraphError(
            f"the query for samples returned {len(rows)} rows of {returned}; it returns one at least, of the column "
            "sample (places in the test set) or label (classes)"
        )
    count = len(labels) if column == "sample" else run.data.class_count
    values = rows[column].tolist()
    wrong = [value for value in values if type(value) is not int or not 0 <= value < count]
    if wrong:
        raise AttrGraphError(f"the query returned {column} {wrong[0]!r}, which is not a whole number below {count}")
    given = torch.tensor(sorted(set(values)))
    chosen = given if column == "sample" else torch.isin(labels, given)
    return Samples(inputs[chosen], labels[chosen])


def diagnose(store: "GraphStore", run: RunModel, bad: Samples, good: Samples) -> Diagnosis:
    """Attribute the failure and the good samples, keep both graphs and the circuit of blame, and ask the queries.

    The graphs' targets are `failure:<hash>` and `success:<hash>`, by the samples, with `:positions` where the network
    is unrolled: the same diagnosis replaces itself.
    """
    failure, success = failure_graphs(run.model, (bad.inputs, bad.labels), (good.inputs, good.labels))
    mark = fingerprint(*bad, *good)[:8] + (":positions" if run.is_unrolled else "")
    ids = [
        store.save(
            replace(graph, target=f"{graph.target}:{mark}"), run_id=run.run_id, stage=run.stage, epoch=run.epoch,
            edge_mass=EDGE_MASS, max_edges_per_neuron=MAX_EDGES_PER_NEURON,
        ).graph_id
        for graph in (failure, success)
    ]  # fmt: skip
    asked = {"other_graph_id": ids[1], "top_k": TOP_K}
    edges = store.query("failure_edges", graph_id=ids[0], **asked)
    inputs = store.query("blamed_inputs", graph_id=ids[0], **asked)
    blamed = edges[edges["blame"] > 0].head(100)
    circuit = store.save_circuit(ids[0], "failure_edges", {**asked, "top_k": 100}, blamed) if len(blamed) else ""
    return Diagnosis(ids[0], ids[1], circuit, edges, inputs, failure.sample_count)
