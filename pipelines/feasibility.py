"""Whether an experiment can run: what only its data and its network can tell, before anything is written."""

from typing import TYPE_CHECKING

from attrgraph_core.errors import AttrGraphError
from pipelines.experiments import Experiment, Question

if TYPE_CHECKING:
    from torch import nn

    from attrgraph_core.training.data import TrainingData


def check_feasible(experiment: Experiment) -> "tuple[TrainingData, nn.Module]":
    """The experiment's data and its network for the first seed.

    Raises AttrGraphError naming the key: data or network that cannot be made, a network without a graph, a layer that
    does not exist or is not trained by neurons, an unknown policy, a class outside the data's.
    """
    from attrgraph_core.attribution.structure import network_structure
    from attrgraph_core.targeting.policies import load_policy
    from attrgraph_core.training.data import load_data
    from attrgraph_core.training.models import build_model

    with_key = _errors_name(experiment.name)
    with with_key("dataset"):
        data = load_data(experiment.dataset.factory, experiment.dataset.arguments)
    with with_key("model"):
        model = build_model(experiment.model.factory, experiment.model.arguments, data, experiment.seeds[0])
        structure = network_structure(model.eval())
    hidden = [layer.name for layer in structure.layers[:-1]]
    for position, stage in enumerate(experiment.stages):
        if stage.select is None:
            continue
        with with_key(f"stages.{position}.select"):
            _check_target(stage.select, data.class_count)
            load_policy(stage.select.policy)
            unknown = [layer for layer in stage.select.layers or () if layer not in hidden]
            if unknown:
                raise AttrGraphError(
                    f"layer {unknown[0]!r} is not a hidden layer of the network; known are {', '.join(hidden)}"
                )
            if not hidden:
                raise AttrGraphError("the network has no hidden layer to select neurons from")
    for position, question in enumerate(experiment.queries):
        with with_key(f"queries.{position}"):
            _check_target(question, data.class_count)
    return data, model


def _check_target(question: Question, class_count: int) -> None:
    _, _, class_id = question.target.partition(":")
    if class_id and int(class_id) >= class_count:
        raise AttrGraphError(
            f"target {question.target!r} is outside the {class_count} classes (0 to {class_count - 1})"
        )


def _errors_name(experiment: str):  # type: ignore[no-untyped-def]
    from contextlib import contextmanager

    @contextmanager
    def with_key(key: str):  # type: ignore[no-untyped-def]
        try:
            yield
        except AttrGraphError as error:
            raise AttrGraphError(f"experiment {experiment!r}: {key}: {error}") from error

    return with_key
