"""Whether an experiment can run: what only its data and its network can tell, before anything is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrgraph_core.errors import AttrGraphError
from pipelines.experiments import Experiment, Question, Selection, Stage

if TYPE_CHECKING:
    from torch import nn

    from attrgraph_core.attribution.structure import NetworkStructure
    from attrgraph_core.training.data import TrainingData

ATTRIBUTED_SAMPLES = 16  # a single one may score as the baseline does, and then has nothing to explain


def check_feasible(experiment: Experiment) -> "tuple[TrainingData, nn.Module]":
    """The experiment's data and its network for the first seed.

    Raises AttrGraphError naming the key: data or network that cannot be made, a network that cannot be attributed, a
    layer that does not exist or is not trained by neurons, an unknown policy, a class outside the data's, fewer
    attributed samples than classes.
    """
    from attrgraph_core.attribution.evaluation import evaluation_mode
    from attrgraph_core.attribution.layout import network_structure
    from attrgraph_core.training.data import load_data
    from attrgraph_core.training.models import build_model
    from pipelines.attribution_sample import sample_of
    from pipelines.stage_kind import model_arguments

    with _errors_at(experiment, "dataset"):
        data = load_data(experiment.dataset.factory, experiment.dataset.arguments)
    with _errors_at(experiment, "model"):
        arguments = model_arguments(experiment, data)
        model = build_model(experiment.model.factory, arguments, data, experiment.seeds[0])
        with evaluation_mode(model):
            structure = network_structure(model, data.train_inputs[:1])
    with _errors_at(experiment, "attribution", "samples"):
        sample_of(experiment, data)
    for position, question in enumerate(experiment.queries):
        _check_question(experiment, question, structure, "queries", position)
    for position, stage in enumerate(experiment.stages):
        if stage.select is not None:
            _check_question(experiment, stage.select, structure, "stages", position, "select")
            _check_selection(experiment, stage.select, structure, "stages", position, "select")
        with _errors_at(experiment, "stages", position):
            _check_kind(stage, model, data)
    with _errors_at(experiment, "model"):
        _check_attribution(experiment, data, model)
    return data, model


def _check_question(
    experiment: Experiment, question: Question, structure: "NetworkStructure", *location: str | int
) -> None:
    """The class it asks about, and what of the network its parameters name, must be there."""
    class_count = structure.output_layer.width
    _, _, class_id = question.target.partition(":")
    with _errors_at(experiment, *location, "target"):
        if class_id and int(class_id) >= class_count:
            raise AttrGraphError(
                f"{question.target!r} is outside the {class_count} classes (class:0 to class:{class_count - 1})"
            )
    known: dict[str, list[str] | range] = {
        "layer": ["input", *(layer.name for layer in structure.layers)],
        "kind": list(dict.fromkeys(["input", *(layer.kind for layer in structure.layers)])),
        "output": range(class_count),
    }
    for name, value in question.parameters.items():
        if value is not None and name in known and value not in known[name]:
            with _errors_at(experiment, *location, "parameters", name):
                raise AttrGraphError(f"the network has no {name} {value!r}; it has {', '.join(map(str, known[name]))}")


def _check_selection(
    experiment: Experiment, selection: Selection, structure: "NetworkStructure", *location: str | int
) -> None:
    """Its policy must be known, and its layers hidden ones."""
    import numpy as np

    from attrgraph_core.targeting.budget import budget_count, check_coverage
    from attrgraph_core.targeting.policies import load_policy

    with _errors_at(experiment, *location, "policy"):
        load_policy(selection.policy)
    hidden = [layer.name for layer in structure.trainable if layer is not structure.output_layer]
    with _errors_at(experiment, *location):
        if not hidden:
            raise AttrGraphError("the network has no hidden layer to select neurons from")
    with _errors_at(experiment, *location, "layers"):
        for layer in selection.layers or ():
            if layer not in hidden:
                raise AttrGraphError(f"{layer!r} is not a hidden layer of the network; known are {', '.join(hidden)}")
    budget = selection.whole_budget
    with _errors_at(experiment, *location, "budget"):
        for own in structure.trainable:
            if own.name in (selection.layers or hidden) and budget.scope == "layer":
                count = budget_count(budget.share, own.width)
                check_coverage(np.ones(own.width), count, budget.coverage, f"layer {own.name!r}")
        if budget.scope == "network":
            check_coverage(np.ones(1), budget.share, budget.coverage, "the network")


def _check_kind(stage: Stage, model: "nn.Module", data: "TrainingData") -> None:
    """What its kind asks of the network."""
    from pipelines.stage_kind import neurons_of_kind, way_of_training

    if stage.kind == "targeted" or stage.circuit is not None:
        return
    if neurons := neurons_of_kind(stage, model, data):
        from attrgraph_core.targeting.target_neurons import target_neurons

        with target_neurons(model, neurons):
            return
    with way_of_training(stage, model, data, 0, None).make_peer(model):
        pass


def _check_attribution(experiment: Experiment, data: "TrainingData", model: "nn.Module") -> None:
    """Make a graph of a few samples, as the run will of every epoch: it trains a whole stage before its first one."""
    from attrgraph_core.attribution.attribute import attribute
    from attrgraph_core.graph.sparsify import sparsify
    from attrgraph_core.training.reproducibility import seeded
    from pipelines.attribution_sample import baseline_of, sample_of

    settings = experiment.attribution
    inputs, labels = sample_of(experiment, data)
    baseline = baseline_of(experiment, inputs)
    few = slice(ATTRIBUTED_SAMPLES)
    try:
        with seeded(experiment.seeds[0]):
            graph = attribute(model, inputs[few], labels[few], method=settings.method, baseline=baseline)
        sparsify(graph, settings.edge_mass, settings.max_edges_per_neuron)
    except AttrGraphError as error:
        raise AttrGraphError(f"no attribution graph can be made of the network: {error}") from error
    except Exception as error:
        raise AttrGraphError(
            f"no attribution graph can be made of the network ({type(error).__name__}: {error})"
        ) from error


@contextmanager
def _errors_at(experiment: Experiment, *location: str | int) -> Iterator[None]:
    """Errors inside begin with the place of a key in the experiment's file."""
    try:
        yield
    except AttrGraphError as error:
        raise AttrGraphError(f"{experiment.where(*location)}: {error}") from error
