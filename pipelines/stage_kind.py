"""From a stage of the experiment file to the way in which `train_stage` trains it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.drtp import DirectRandomTargetProjection
from attrgraph_core.peers.meprop import MeProp
from attrgraph_core.peers.peer import Peer
from attrgraph_core.peers.random_layers import RandomLayers
from attrgraph_core.peers.recycling import Recycling
from attrgraph_core.peers.removal import Removal
from attrgraph_core.peers.thin import thin_arguments
from attrgraph_core.store.provenance import neurons_of
from attrgraph_core.surgery.weight_entries import EDGE_ENDS, WeightEntries
from attrgraph_core.targeting.learning_rate import scaled_learning_rate
from attrgraph_core.targeting.neuron_set import NeuronSet
from attrgraph_core.targeting.target_neurons import targetable_layers
from attrgraph_core.training.circuit_stability import CircuitStability, StableWhen
from attrgraph_core.training.data import TrainingData
from attrgraph_core.training.models import build_model
from attrgraph_core.training.reproducibility import derive_seed
from attrgraph_core.training.stage import TrainingSettings
from pipelines.attribution_sample import baseline_of, sample_of
from pipelines.experiments import Experiment, Stage

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

DRAWN_LAYERS, RENEWED_NEURONS = 4, 5  # of the seeds derived from a run's
REMOVAL_SAMPLES = 2048  # that mean contributions are taken over


@dataclass(frozen=True)
class WayOfTraining:
    """The neurons or weight entries that train, or None for all weights, and where their gradients come from."""

    neuron_set: NeuronSet | None
    make_peer: "Callable[[nn.Module], Peer]" = Peer
    entries: WeightEntries | None = None


def way_of_training(
    stage: Stage,
    model: "nn.Module",
    data: TrainingData,
    seed: int,
    chosen: Mapping[str, tuple[int, ...]] | None,
    circuit: "pd.DataFrame | None" = None,
    undo_path: Path | None = None,
) -> WayOfTraining:
    """How a stage of this kind trains; `chosen` are the neurons that a `targeted` one was given, `circuit` the rows of
    its query. What it removes is written to `undo_path`."""
    if stage.kind == "targeted":
        assert chosen is not None, "a targeted stage follows the choice of its neurons"
        return WayOfTraining(NeuronSet(dict(chosen), stage.kind, 1.0))
    if circuit is not None:
        entries = entries_of_circuit(stage, model, data, circuit)
        if stage.kind == "edges":
            return WayOfTraining(None, entries=entries)
        return WayOfTraining(
            None, make_peer=lambda network: Removal(network, entries, data.train_inputs[:REMOVAL_SAMPLES], undo_path)
        )
    assert stage.circuit is None, f"a stage of kind {stage.kind!r} follows what its circuit's query returned"
    output = output_layer_name(model, data)
    share, layers = stage.share or 1.0, stage.layers or 1
    ways: dict[str, Callable[[nn.Module], Peer]] = {
        "meprop": lambda network: MeProp(network, share, output),
        "drtp": lambda network: DirectRandomTargetProjection(network, data.class_count, seed),
        "recycle": lambda network: Recycling(network, share, derive_seed(seed, RENEWED_NEURONS)),
        "random_layers": lambda network: RandomLayers(network, layers, (output,), derive_seed(seed, DRAWN_LAYERS)),
    }
    neurons = neurons_of_kind(stage, model, data)
    return WayOfTraining(NeuronSet(neurons, stage.kind, 1.0) if neurons else None, ways.get(stage.kind, Peer))


def entries_of_circuit(stage: Stage, model: "nn.Module", data: TrainingData, circuit: "pd.DataFrame") -> WeightEntries:
    """The weights that a stage removes, or trains: of the circuit's edges, else of its neurons."""
    assert stage.circuit is not None
    if circuit.empty:
        raise AttrGraphError(f"query {stage.circuit.query!r} returned no rows for a stage of kind {stage.kind!r}")
    if stage.kind != "mask_inputs" and set(EDGE_ENDS) <= set(circuit):
        return WeightEntries.of_edges(model, data.train_inputs[:1], circuit)
    neurons: dict[str, list[int]] = {}
    for layer, index in neurons_of(circuit):
        neurons.setdefault(layer, []).append(index)
    if stage.kind == "mask_inputs":
        if "input" not in neurons:
            raise AttrGraphError(f"query {stage.circuit.query!r} returned no input neurons to mask")
        return WeightEntries.out_of(model, data.train_inputs[:1], neurons["input"])
    hidden = {layer: indices for layer, indices in neurons.items() if layer in targetable_layers(model)}
    return WeightEntries.into(model, hidden)


def neurons_of_kind(stage: Stage, model: "nn.Module", data: TrainingData) -> dict[str, tuple[int, ...]] | None:
    """The neurons that a stage trains by its kind alone; None where all weights train, or a policy chooses."""
    if stage.kind not in ("head", "top_layers"):
        return None
    count = 1 if stage.kind == "head" else stage.layers or 1
    with evaluation_mode(model):
        trainable = network_structure(model, data.train_inputs[:1]).trainable
    if count > len(trainable):
        raise AttrGraphError(f"layers is {count}; the network has {len(trainable)} layers")
    return {layer.name: tuple(range(layer.width)) for layer in trainable[-count:]}


def output_layer_name(model: "nn.Module", data: TrainingData) -> str:
    """The layer whose neurons are the class scores."""
    with evaluation_mode(model):
        return network_structure(model, data.train_inputs[:1]).output_layer.name


def settings_of(
    experiment: Experiment, stage: Stage, model: "nn.Module", neuron_set: NeuronSet | None
) -> TrainingSettings:
    """The experiment's settings with the stage's own rate, or one scaled by the share of neurons that train."""
    settings = experiment.training.model_dump()
    if stage.learning_rate == "scaled":
        neurons = sum(len(layer.weight) for layer in targetable_layers(model).values())
        share = neuron_set.size / neurons if neuron_set else 1.0
        settings["learning_rate"] = scaled_learning_rate(settings["learning_rate"], share)
    elif stage.learning_rate is not None:
        settings["learning_rate"] = stage.learning_rate
    return TrainingSettings(epochs=stage.epochs, **settings)


def stop_condition(experiment: Experiment, stage: Stage, data: TrainingData) -> CircuitStability | None:
    """What `train_stage` asks after each epoch, on the experiment's attribution sample."""
    if stage.stop_when is None:
        return None
    inputs, labels = sample_of(experiment, data)
    return CircuitStability(
        StableWhen(**stage.stop_when.circuit_is_stable.model_dump()), inputs, labels,
        method=experiment.attribution.method, baseline=baseline_of(experiment, inputs),
    )  # fmt: skip


def model_arguments(experiment: Experiment, data: TrainingData) -> dict[str, Any]:
    """The arguments of the network: the experiment's, or those of the thin one that its first stage asks for."""
    given = experiment.model.arguments
    first = experiment.stages[0]
    if first.kind != "thin":
        return given
    assert first.share is not None

    def build(arguments: Mapping[str, Any]) -> "nn.Module":
        return build_model(experiment.model.factory, arguments, data, 0)

    return thin_arguments(build, given, first.share, data.train_inputs[:2])
