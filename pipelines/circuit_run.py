"""Asking a stage's last graphs, and choosing from an answer the neurons that the next stage trains."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.queries import load_query
from attrgraph_core.targeting.choose_neurons import choose_neurons
from attrgraph_core.training.gradient_norms import gradient_norms
from pipelines.experiments import GIVEN_PARAMETERS, Experiment, Question, Selection
from pipelines.graph_run import sample_of
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
from pipelines.training_run import load_checked_data, model_at

if TYPE_CHECKING:
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
    circuits: CircuitsRecord,
    store: "GraphStore",
) -> tuple[NeuronSetRecord, pd.DataFrame]:
    """Choose the next stage's neurons by its policy, keep the set in Neo4j; also gives the candidates it chose from."""
    position = circuits.stage
    selection = experiment.stages[position].select
    assert selection is not None, "a stage after the first has a selection; the experiment file is checked for it"
    circuit = next(circuit for circuit in circuits.circuits if circuit.selects)
    found = pd.read_parquet(run_folder(circuits.run_id) / circuit.file)
    data = load_checked_data(experiment, dataset)
    model = model_at(experiment, seed, data, checkpoints.last)
    structure = network_structure(model.eval(), data.train_inputs[:1])
    output = structure.output_layer
    norms = gradient_norms(model, *sample_of(experiment, data))
    # A layer beside the way to the scores has rows, too, but no neurons in the graph.
    hidden = [layer.name for layer in structure.trainable if layer is not output]
    candidates = candidate_neurons(norms[norms["layer"].isin(hidden)], found, selection.layers)
    ignored = layers_without_rows(candidates, found)
    if ignored:
        raise AttrGraphError(
            f"query {circuit.query!r} returned no neuron of {', '.join(ignored)} from graph {circuit.graph_id} "
            f"({len(found)} rows in all), so there is nothing to choose by; ask another query or with other "
            f"parameters, or name in 'layers' only those it is for ({experiment.where('stages', position, 'select')})"
        )
    chosen = choose_neurons(
        candidates,
        selection.policy,
        selection.budget,
        seed=seed,
        stage=position + 1,
        # Scores that are sums of layers have no rows of their own.
        always={output.name: range(data.class_count)} if output in structure.trainable else {},
    )
    neuron_set_id = store.save_neuron_set([circuit.circuit_id], chosen, run_id=circuits.run_id)
    record = NeuronSetRecord(
        run_id=circuits.run_id,
        neuron_set_id=neuron_set_id,
        stage=position,
        neurons=chosen.neurons,
        policy=chosen.policy,
        budget=chosen.budget,
        set_hash=chosen.set_hash,
        circuit_id=circuit.circuit_id,
    )
    chosen_rows = {(layer, index) for layer, indices in chosen.neurons.items() for index in indices}
    named = zip(candidates["layer"], candidates["index"], strict=True)
    return record, candidates.assign(chosen=[pair in chosen_rows for pair in named])


def candidate_neurons(hidden: pd.DataFrame, found: pd.DataFrame, layers: tuple[str, ...] | None) -> pd.DataFrame:
    """The hidden neurons, of `layers` or all, with the influence that the query gave them, 0 where it has no row."""
    rows = found[["layer", "index", "influence"]]
    candidates = hidden.merge(rows, on=["layer", "index"], how="left", indicator="found")
    candidates.loc[candidates["found"] == "left_only", "influence"] = 0.0  # a null in a row stays, to be refused
    candidates = candidates.drop(columns="found")
    return candidates[candidates["layer"].isin(layers)] if layers else candidates


def layers_without_rows(candidates: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """The layers of the candidates of which a query returned no neuron: a policy would see no difference in them."""
    has_rows = set(found["layer"])
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
