"""Asking a stage's last graphs, and choosing from an answer the neurons that the next stage trains."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.provenance import neurons_of, table_hash
from attrgraph_core.store.queries import load_query
from attrgraph_core.targeting.choose_neurons import choose_neurons
from attrgraph_core.targeting.neuron_costs import neuron_costs
from attrgraph_core.targeting.neuron_set import NeuronSet
from attrgraph_core.targeting.policies import policy_needs
from attrgraph_core.targeting.score_neurons import score_neurons
from attrgraph_core.targeting.scores import SCORES, needs_source
from attrgraph_core.targeting.target_neurons import targetable_layers
from attrgraph_core.training.data import TrainingData
from pipelines.attribution_sample import sample_of
from pipelines.experiments import GIVEN_PARAMETERS, Experiment, Question, Selection, Stage
from pipelines.progress import report_progress
from pipelines.records import (
    CheckpointsRecord,
    CircuitsRecord,
    DatasetRecord,
    FoundCircuit,
    GraphsRecord,
    NeuronSetRecord,
    SavedGraph,
)
from pipelines.run_folder import run_folder
from pipelines.stage_kind import neurons_of_kind
from pipelines.training_run import history_after, load_checked_data, model_at

if TYPE_CHECKING:
    from torch import nn

    from attrgraph_core.store.graph_store import GraphStore


def run_circuits(
    experiment: Experiment, stage: GraphsRecord, store: "GraphStore"
) -> tuple[CircuitsRecord, dict[str, pd.DataFrame]]:
    """Ask the stage's last graphs all questions; each answer becomes a circuit in Neo4j and a Parquet table."""
    questions = experiment.questions_of_stage(stage.stage)
    circuits: list[FoundCircuit] = []
    tables: dict[str, pd.DataFrame] = {}
    for done, question in enumerate(questions, start=1):
        graph_id = _graph_of(stage, question).graph_id
        parameters = _all_parameters(question, stage, graph_id)
        table = store.query(question.query, **parameters)
        own = {name: value for name, value in parameters.items() if name != "graph_id"}
        circuit_id = store.save_circuit(graph_id, question.query, own, table)
        file = f"stage_{stage.stage}/circuit_{done}_{question.query}.parquet"
        path = run_folder(stage.run_id) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(path)
        tables[f"{done}. {question.query} ({question.target})"] = table
        circuits.append(
            FoundCircuit(
                circuit_id=circuit_id,
                query=question.query,
                parameters=own,
                graph_id=graph_id,
                file=file,
                row_count=len(table),
                selects=isinstance(question, Selection),
            )
        )
        report_progress(f"stage {stage.stage}: circuits", done, len(questions))
    return CircuitsRecord(run_id=stage.run_id, stage=stage.stage, circuits=tuple(circuits)), tables


def run_selection(
    experiment: Experiment,
    seed: int,
    dataset: DatasetRecord,
    checkpoints: CheckpointsRecord,
    graphs: GraphsRecord,
    circuits: CircuitsRecord,
    store: "GraphStore",
) -> tuple[NeuronSetRecord, pd.DataFrame]:
    """Choose the next stage's neurons by its policy, keep the set in Neo4j; also gives the candidates it chose from.

    For a stage of another kind than `targeted` they are those that its kind trains, and Neo4j has no set of them.
    """
    position = circuits.stage
    data = load_checked_data(experiment, dataset)
    model = model_at(experiment, seed, data, checkpoints.last).eval()
    stage = experiment.stages[position]
    selection = stage.select
    if selection is None:
        return _without_selection(stage, model, data, circuits)
    circuit = next(circuit for circuit in circuits.circuits if circuit.selects)
    found = pd.read_parquet(run_folder(circuits.run_id) / circuit.file)
    history = history_after(circuits.run_id, position)
    candidates, flops = scored_candidates(experiment, selection, model, data, found, history, position + 1)
    if needs_source(policy_needs(selection.policy), "graph"):
        flops += graphs.last_epoch_flops
        ignored = layers_without_rows(candidates, found)
        if ignored:
            raise AttrGraphError(
                f"query {circuit.query!r} returned no neuron of {', '.join(ignored)} from graph {circuit.graph_id} "
                f"({len(found)} rows in all), so there is nothing to choose by; ask another query or with other "
                f"parameters, or name in 'layers' only those it is for "
                f"({experiment.where('stages', position, 'select')})"
            )
    chosen = replace(choose_of(selection, candidates, model, data, seed=seed, stage=position + 1), scoring_flops=flops)
    neuron_set_id = store.save_neuron_set([circuit.circuit_id], chosen, run_id=circuits.run_id)
    record = _record_of(chosen, circuits, neuron_set_id, circuit.circuit_id)
    chosen_rows = {(layer, index) for layer, indices in chosen.neurons.items() for index in indices}
    named = zip(candidates["layer"], candidates["index"], strict=True)
    return record, candidates.assign(chosen=[pair in chosen_rows for pair in named])


def scored_candidates(
    experiment: Experiment,
    selection: Selection,
    model: "nn.Module",
    data: TrainingData,
    found: pd.DataFrame,
    history: pd.DataFrame | None,
    stage: int,
) -> tuple[pd.DataFrame, int]:
    """The hidden neurons with what the selection's policy and budget need of them, and the FLOPs that took.

    `found` is what the query returned; that of the graph itself is not among the FLOPs.
    """
    structure = network_structure(model, data.train_inputs[:1])
    budget, scores = selection.whole_budget, policy_needs(selection.policy)
    if budget.coverage is not None:
        scores |= {"stages_since"}
    inputs, labels = sample_of(experiment, data)
    # A column that no score has is an own policy's, of what the query returned.
    known = sorted(scores & SCORES.keys())
    table, flops = score_neurons(model, known, inputs, labels, history, stage)
    # A layer beside the way to the scores has rows, too, but no neurons in the graph.
    hidden = [layer.name for layer in structure.trainable if layer is not structure.output_layer]
    table = table[table["layer"].isin(hidden)]
    if budget.scope == "network" and budget.of != "neurons":
        costs = neuron_costs(model, data.train_inputs[:1])[["layer", "index", budget.of]]
        table = table.merge(costs, on=["layer", "index"])
    if "query_rank" in scores:
        ranks = {neuron: rank for rank, neuron in enumerate(neurons_of(found))}
        keys = zip(table["layer"], table["index"], strict=True)
        table = table.assign(query_rank=[ranks.get(key, len(ranks)) for key in keys])
    return candidate_neurons(table, found, selection.layers), flops


def choose_of(
    selection: Selection, candidates: pd.DataFrame, model: "nn.Module", data: TrainingData, *, seed: int, stage: int
) -> NeuronSet:
    """The selection's choice of candidates, and the outputs."""
    structure = network_structure(model, data.train_inputs[:1])
    output = structure.output_layer
    return choose_neurons(
        candidates,
        selection.policy,
        selection.whole_budget,
        seed=seed,
        stage=stage,
        # Scores that are sums of layers have no rows of their own.
        always={output.name: range(data.class_count)} if output in structure.trainable else {},
    )


def _without_selection(
    stage: Stage, model: "nn.Module", data: TrainingData, circuits: CircuitsRecord
) -> tuple[NeuronSetRecord, pd.DataFrame]:
    neurons = neurons_of_kind(stage, model, data) or {
        name: tuple(range(len(layer.weight))) for name, layer in targetable_layers(model).items()
    }
    chosen = NeuronSet(neurons, stage.kind, 1.0)
    if stage.circuit is not None:  # asked after all others
        circuit = circuits.circuits[-1]
        record = _record_of(chosen, circuits, None, circuit.circuit_id)
        record = record.model_copy(update={"circuit_file": circuit.file, "set_hash": _file_hash(circuits, circuit)})
        found = pd.read_parquet(run_folder(circuits.run_id) / circuit.file)
        named = [(layer, index, 0.0, True) for layer, index in neurons_of(found)]
        return record, pd.DataFrame(named, columns=["layer", "index", "influence", "chosen"])
    rows = [(layer, index, 0.0, True) for layer, indices in chosen.neurons.items() for index in indices]
    return (
        _record_of(chosen, circuits, None, None),
        pd.DataFrame(rows, columns=["layer", "index", "influence", "chosen"]),
    )


def _file_hash(circuits: CircuitsRecord, circuit: FoundCircuit) -> str:
    """Of the rows that a stage removes or trains: the same rows leave the stage fresh."""
    return table_hash(pd.read_parquet(run_folder(circuits.run_id) / circuit.file))


def _record_of(
    chosen: NeuronSet, circuits: CircuitsRecord, neuron_set_id: str | None, circuit_id: str | None
) -> NeuronSetRecord:
    return NeuronSetRecord(
        run_id=circuits.run_id,
        neuron_set_id=neuron_set_id,
        stage=circuits.stage,
        neurons=chosen.neurons,
        policy=chosen.policy,
        budget=chosen.budget,
        set_hash=chosen.set_hash,
        circuit_id=circuit_id,
        scoring_flops=chosen.scoring_flops or 0,
    )


def candidate_neurons(hidden: pd.DataFrame, found: pd.DataFrame, layers: tuple[str, ...] | None) -> pd.DataFrame:
    """The hidden neurons, of `layers` or all, with the influence that the query gave them, 0 where it has no row."""
    if "influence" not in found:  # a policy that takes the query's order
        found = found.head(0).reindex(columns=["layer", "index", "influence"])
    rows = found[["layer", "index", "influence"]].astype({"layer": object, "index": "int64"})
    candidates = hidden.merge(rows, on=["layer", "index"], how="left", indicator="found")
    candidates.loc[candidates["found"] == "left_only", "influence"] = 0.0  # a null in a row stays, to be refused
    candidates = candidates.drop(columns="found")
    return candidates[candidates["layer"].isin(layers)] if layers else candidates


def layers_without_rows(candidates: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """The layers of the candidates of which a query returned no neuron: a policy would see no difference in them."""
    has_rows = {layer for layer, _ in neurons_of(found)}
    return [layer for layer in candidates["layer"].unique() if layer not in has_rows]


def _graph_of(stage: GraphsRecord, question: Question) -> SavedGraph:
    try:
        return stage.last_of(question.target)
    except KeyError:
        raise AttrGraphError(
            f"query {question.query!r} asks for target {question.target!r}, of which stage {stage.stage} has no graph"
        ) from None


def _all_parameters(question: Question, stage: GraphsRecord, graph_id: str) -> dict[str, Any]:
    given = {"graph_id": graph_id, "run_id": stage.run_id, "stage_id": f"{stage.run_id}/stage_{stage.stage}"}
    wanted = load_query(question.query).params
    return question.parameters | {name: given[name] for name in GIVEN_PARAMETERS if name in wanted}
