"""From a stage's graphs to circuits and the next stage's neurons, on a trained network and real graphs in Neo4j."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from attrgraph_core.circuits.path_mass import path_mass
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import Connection
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.targeting.choose_neurons import choose_neurons
from attrgraph_core.training.data import load_data
from pipelines.circuit_run import candidate_neurons, layers_without_rows, run_circuits, run_selection
from pipelines.experiments import Experiment, load_experiment
from pipelines.feasibility import check_feasible
from pipelines.graph_run import run_graphs
from pipelines.records import CheckpointsRecord, DatasetRecord, GraphsRecord
from pipelines.run_folder import run_folder
from pipelines.training_run import run_stage

HIDDEN = pd.DataFrame(
    {
        "layer": ["fc1", "fc1", "fc1", "fc2", "fc2"],
        "index": [0, 1, 2, 0, 1],
        "gradient_norm": [0.1, 0.2, 0.3, 0.4, 0.5],
    }
)


def rows(*found: tuple[str, int, float | None]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=["layer", "index", "influence"])


def test_what_the_query_did_not_return_has_no_influence():
    found = rows(("fc1", 2, 3.0), ("input", 1, 9.0), ("fc2", 0, 1.0), ("output", 0, 5.0))
    candidates = candidate_neurons(HIDDEN, found, layers=None)
    assert candidates["influence"].tolist() == [0.0, 0.0, 3.0, 1.0, 0.0]
    assert candidates["gradient_norm"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert candidate_neurons(HIDDEN, found, layers=("fc2",))["influence"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("found", "layers", "expected"),
    [
        (rows(("fc1", 2, 3.0), ("fc2", 0, 0.0)), None, []),
        (rows(("fc1", 2, 3.0), ("output", 0, 5.0)), None, ["fc2"]),
        (rows(("fc1", 2, 3.0), ("output", 0, 5.0)), ("fc1",), []),
        (rows(("input", 0, 3.0)), None, ["fc1", "fc2"]),
        (rows(), None, ["fc1", "fc2"]),
    ],
)
def test_layers_of_which_a_query_said_nothing(found: pd.DataFrame, layers: tuple[str, ...] | None, expected: list[str]):
    candidates = candidate_neurons(HIDDEN, HIDDEN.assign(influence=1.0), layers)
    assert layers_without_rows(candidates, found) == expected


def test_a_null_influence_is_refused_and_not_taken_for_none():
    candidates = candidate_neurons(HIDDEN, rows(("fc1", 0, 1.0), ("fc2", 1, None)), layers=None)
    with pytest.raises(AttrGraphError, match=r"influence of neuron fc2/1 is nan"):
        choose_neurons(candidates, "top_influence", 0.5, seed=0, stage=2)


@pytest.fixture(scope="module")
def store(neo4j_connection: Connection) -> Iterator[GraphStore]:
    with GraphStore.open(neo4j_connection) as opened:
        yield opened


class TrainedStage:
    """The first stage of a run: trained, attributed, its graphs in Neo4j."""

    def __init__(self, experiment: Experiment, store: GraphStore):
        self.experiment = experiment
        self.store = store
        data = load_data(experiment.dataset.factory)
        self.dataset = DatasetRecord(
            run_id=experiment.run_id(0), name=data.name, fingerprint=data.fingerprint, class_count=data.class_count,
            train_count=len(data.train_labels), test_count=len(data.test_labels), input_shape=data.input_shape,
        )  # fmt: skip
        cpu = torch.device("cpu")
        self.checkpoints: CheckpointsRecord = run_stage(
            experiment, 0, 1, self.dataset, None, None, cpu, on_checkpoint=lambda checkpoint: None
        )
        store.save_run(self.dataset.run_id, experiment.name, 0, experiment.config_hash, "test")
        self.graphs: GraphsRecord = run_graphs(
            experiment, 0, self.dataset, self.checkpoints, store, cpu, on_epoch=lambda epoch, graphs: None
        )[0]


def trained_with(path: Path, select: str, store: GraphStore) -> TrainedStage:
    """The small experiment with another selection."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[-1].startswith("    select: ")
    path.write_text("\n".join([*lines[:-1], f"    select: {select}"]), encoding="utf-8")
    return TrainedStage(load_experiment(path), store)


@pytest.fixture
def trained(small_experiment: Path, store: GraphStore) -> TrainedStage:
    return TrainedStage(load_experiment(small_experiment), store)


@pytest.mark.neo4j
def test_circuits_and_the_neurons_chosen_from_them(trained: TrainedStage, store: GraphStore):
    experiment, graphs = trained.experiment, trained.graphs
    record, tables = run_circuits(experiment, graphs, store)
    assert [(circuit.query, circuit.selects) for circuit in record.circuits] == [
        ("strongest_paths", False),
        ("neuron_influence", True),
    ]
    paths, influence = record.circuits
    assert paths.graph_id == graphs.last_of("class:3").graph_id
    assert paths.parameters == {"top_k": 5}
    assert influence.graph_id == graphs.last_of("label").graph_id
    assert list(tables) == ["1. strongest_paths (class:3)", "2. neuron_influence (label)"]
    for circuit, table in zip(record.circuits, tables.values(), strict=True):
        kept = pd.read_parquet(run_folder(graphs.run_id) / circuit.file)
        assert kept.columns.tolist() == table.columns.tolist()
        assert len(kept) == circuit.row_count == len(table) > 0

    chosen, candidates = run_selection(
        experiment, 0, trained.dataset, trained.checkpoints, trained.graphs, record, store
    )
    table = tables["2. neuron_influence (label)"].set_index(["layer", "index"])["influence"]
    assert chosen.neurons == {
        "fc1": tuple(sorted(table["fc1"].nlargest(3).index)),
        "fc2": tuple(sorted(table["fc2"].nlargest(2).index)),
        "output": tuple(range(10)),
    }
    assert candidates.groupby("layer")["chosen"].sum().to_dict() == {"fc1": 3, "fc2": 2}
    assert (chosen.policy, chosen.budget, chosen.circuit_id) == ("top_influence", 0.25, influence.circuit_id)
    stored = store.query("neuron_set", neuron_set_id=chosen.neuron_set_id)
    assert stored.groupby("layer")["index"].apply(tuple).to_dict() == chosen.neurons


@pytest.mark.neo4j
def test_a_query_without_an_answer_selects_nothing(small_experiment: Path, store: GraphStore):
    """No stage is before the first one, so nothing has grown since; the lowest indices would be trained."""
    trained = trained_with(small_experiment, "{query: growing_neurons, policy: top_influence, budget: 0.25}", store)
    record, tables = run_circuits(trained.experiment, trained.graphs, store)
    assert [len(table) for table in tables.values()] == [5, 0]
    with pytest.raises(AttrGraphError) as raised:
        run_selection(trained.experiment, 0, trained.dataset, trained.checkpoints, trained.graphs, record, store)
    assert str(raised.value) == (
        f"query 'growing_neurons' returned no neuron of fc1, fc2 from graph {trained.graphs.last_of('label').graph_id} "
        "(0 rows in all), so there is nothing to choose by; ask another query or with other parameters, or name in "
        f"'layers' only those it is for ({small_experiment}:12: stages.1.select)"
    )
    written = store.run_cypher(
        "MATCH (chosen:NeuronSet {run_id: $run_id}) RETURN count(*) AS sets", {"run_id": record.run_id}
    )
    assert written["sets"].tolist() == [0]


@pytest.mark.neo4j
def test_a_query_of_one_layer_needs_its_layer_named(small_experiment: Path, store: GraphStore):
    asked = "query: top_influential_neurons, parameters: {layer: fc2}, policy: top_influence, budget: 0.25"
    trained = trained_with(small_experiment, f"{{{asked}}}", store)
    record, _ = run_circuits(trained.experiment, trained.graphs, store)
    with pytest.raises(AttrGraphError, match=r"^query 'top_influential_neurons' returned no neuron of fc1 from graph "):
        run_selection(trained.experiment, 0, trained.dataset, trained.checkpoints, trained.graphs, record, store)
    trained = trained_with(small_experiment, f"{{{asked}, layers: [fc2]}}", store)
    record, _ = run_circuits(trained.experiment, trained.graphs, store)
    chosen, _ = run_selection(
        trained.experiment, 0, trained.dataset, trained.checkpoints, trained.graphs, record, store
    )
    assert {layer: len(indices) for layer, indices in chosen.neurons.items()} == {"fc2": 2, "output": 10}


@pytest.mark.neo4j
def test_a_query_that_computes_selects_with_its_parameters(small_experiment: Path, store: GraphStore):
    asked = "query: path_mass, target: 'class:3', parameters: {top_k: 1000, output: 3, kind: unit}"
    trained = trained_with(small_experiment, f"{{{asked}, policy: top_influence, budget: 0.25}}", store)
    record, _ = run_circuits(trained.experiment, trained.graphs, store)
    chosen, _ = run_selection(
        trained.experiment, 0, trained.dataset, trained.checkpoints, trained.graphs, record, store
    )
    mass = path_mass(store.graph(trained.graphs.last_of("class:3").graph_id), output=3)
    of_layer = mass[mass["layer"] == "fc1"].set_index("index")["mass"]
    assert chosen.neurons["fc1"] == tuple(sorted(of_layer.nlargest(3).index))


@pytest.mark.neo4j
def test_a_question_of_a_target_without_a_graph(trained: TrainedStage, store: GraphStore):
    without = trained.graphs.model_copy(
        update={"graphs": tuple(graph for graph in trained.graphs.graphs if graph.target != "class:3")}
    )
    with pytest.raises(AttrGraphError, match=r"asks for target 'class:3', of which stage 1 has no graph$"):
        run_circuits(trained.experiment, without, store)


SUMMED_SCORES = """\
from torch import nn


class SummedScores(nn.Module):
    def __init__(self):
        super().__init__()
        self.beside = nn.Linear(64, 3)
        self.hidden = nn.Linear(64, 8)
        self.first = nn.Linear(64, 10)
        self.second = nn.Linear(8, 10)

    def forward(self, images):
        return self.first(images) + self.second(self.hidden(images).relu())
"""


@pytest.mark.neo4j
@pytest.mark.parametrize("policy", ["top_influence", "random"])
def test_only_layers_of_the_graph_are_chosen_from(
    small_experiment: Path, store: GraphStore, monkeypatch: pytest.MonkeyPatch, policy: str
):
    """Scores that are a sum have no rows to train, and a layer beside the way to them no neurons to choose."""
    folder = small_experiment.parents[1]
    (folder / "summed_scores.py").write_text(SUMMED_SCORES, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    text = small_experiment.read_text(encoding="utf-8").replace("top_influence", policy)
    network = "{factory: mlp, arguments: {hidden: [12, 8]}}"
    assert network in text
    small_experiment.write_text(text.replace(network, '{factory: "summed_scores:SummedScores"}'), encoding="utf-8")
    experiment = load_experiment(small_experiment)
    check_feasible(experiment)
    trained = TrainedStage(experiment, store)
    record, _ = run_circuits(experiment, trained.graphs, store)
    chosen, _ = run_selection(experiment, 0, trained.dataset, trained.checkpoints, trained.graphs, record, store)
    assert {layer: len(indices) for layer, indices in chosen.neurons.items()} == {"hidden": 2, "first": 3, "second": 3}
    cpu = torch.device("cpu")
    targeted = run_stage(experiment, 0, 2, trained.dataset, trained.checkpoints, chosen, cpu, lambda checkpoint: None)
    assert targeted.trained_neurons == 8
