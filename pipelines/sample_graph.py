"""A graph of a run's network for samples of one's own, or for an error of its: paths and circuits are asked of it then.

The method, the baseline and the limits of the edges are those of the run's own graphs.
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from attrgraph_core import attribute
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.failure_edges import scores_of
from pipelines.attribution_sample import baseline_of, sample_of
from pipelines.diagnosis import WORDS, samples_of
from pipelines.run_model import RunModel

if TYPE_CHECKING:
    from attrgraph_core.store.graph_store import GraphStore
    from attrgraph_core.store.graph_writer import StoredGraph

NAME = re.compile(r"[A-Za-z0-9_.-]+")


def attribute_samples(
    store: "GraphStore", run: RunModel, given: str, name: str | None = None
) -> tuple["StoredGraph", int]:
    """Keep the graph `samples:<name>` of samples as `samples_of` takes them: a file, a word or a query.

    The score explained is the true class's. Also gives how many samples it is of. Without `name` it is the file's.
    """
    name = name or (given if given in WORDS else Path(given).stem)
    if not NAME.fullmatch(name):
        raise AttrGraphError(f"the name {name!r} is not of letters, digits, '_', '.' and '-'; give another by --name")
    samples = samples_of(store, run, given)
    return _keep(store, run, samples.inputs, samples.labels, f"samples:{name}"), len(samples.labels)


def attribute_error(store: "GraphStore", run: RunModel, true: int, predicted: int) -> tuple["StoredGraph", int]:
    """Keep the graph `error:<true>-<predicted>` of the test samples of one class that the network takes for another.

    The score explained is the wrong class's less the true one's. Also gives how many samples there are; raises
    AttrGraphError for none, with the errors that there are.
    """
    inputs, labels = run.data.test_inputs, run.data.test_labels
    found = scores_of(run.model, inputs).argmax(dim=1)
    chosen = (labels == true) & (found == predicted)
    if true == predicted or not bool(chosen.any()):
        errors = [pair for pair in zip(labels.tolist(), found.tolist(), strict=True) if pair[0] != pair[1]]
        known = ", ".join(f"{a}-{b} ({count})" for (a, b), count in Counter(errors).most_common(10))
        raise AttrGraphError(
            f"run {run.run_id!r} takes no test sample of class {true} for class {predicted}; its errors there are "
            f"{known or 'none'}"
        )
    wrong, right = (functional.one_hot(of[chosen], run.data.class_count) for of in (found, labels))
    return _keep(store, run, inputs[chosen], (wrong - right).float(), f"error:{true}-{predicted}"), int(chosen.sum())


def _keep(store: "GraphStore", run: RunModel, inputs: Tensor, target: Tensor, name: str) -> "StoredGraph":
    settings = run.attribution
    baseline = baseline_of(run, sample_of(run, run.data)[0])
    graph = attribute(run.model, inputs, target, method=settings.method, baseline=baseline)
    return store.save(
        replace(graph, target=name), run_id=run.run_id, stage=run.stage, epoch=run.epoch,
        edge_mass=settings.edge_mass, max_edges_per_neuron=settings.max_edges_per_neuron,
    )  # fmt: skip
