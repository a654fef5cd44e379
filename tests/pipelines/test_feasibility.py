"""What only the data and the network can tell: each is named by file, line and key, before anything is written."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.models import build_model
from pipelines.experiments import is_comparison, load_experiment, load_experiments
from pipelines.feasibility import check_feasible

VALID = """\
name: small
dataset:
  factory: digits
model:
  factory: mlp
  arguments: {hidden: [12, 8]}
attribution:
  samples: 40
queries:
  - query: top_influential_neurons
    parameters: {layer: fc1, kind: unit}
    target: class:9
stages:
  - epochs: 2
  - epochs: 1
    select:
      policy: top_influence
      budget: 0.25
      layers: [fc1]
"""

NETWORKS = """\
import torch
from torch import nn


def pooled_before_the_first_layer():
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 10))


def pooled_before_a_convolution():
    return nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 10))


def linear_over_rows():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.output = nn.Linear(64, 10)

    def forward(self, images):
        values = images.flatten(1)
        return self.output(values + torch.relu(self.first(values)))


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.output = nn.Linear(64, 10)

    def forward(self, images):
        return self.output(images.flatten(1)).softmax(dim=1)


def nine_classes():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9))


def diverged():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    network[1].weight.data.fill_(float("nan"))
    return network


def normalised_and_thinned():
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(36, 10))


def unlabelled():
    return [(torch.ones(3), None)]


a_number = 7
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment file, alone with a module of networks; runs would be written beside it."""
    (tmp_path / "feasibility_networks.py").write_text(NETWORKS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "small.yaml"
    path.write_text(VALID, encoding="utf-8")
    return path


def complaint(file: Path, before: str, after: str) -> str:
    """What is said of the valid file with one text in the place of another; nothing may be written."""
    assert VALID.count(before) == 1
    file.write_text(VALID.replace(before, after), encoding="utf-8")
    beside = sorted(file.parent.iterdir())
    with pytest.raises(AttrGraphError) as raised:
        check_feasible(load_experiment(file))
    assert sorted(file.parent.iterdir()) == beside
    return str(raised.value).replace(f"{file.parent}/", "").replace(str(file.parent), "FOLDER")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # data
        ("factory: digits", "factory: mnist",
         "2: dataset: unknown dataset 'mnist'; known are digits, digits_images, mnist1d, "),
        ("factory: digits", "factory: nowhere_to_be_found:make",
         "2: dataset: 'nowhere_to_be_found:make': there is no module 'nowhere_to_be_found'; it must be installed or "
         "lie in FOLDER"),
        ("factory: digits", "factory: feasibility_networks:make",
         "2: dataset: 'feasibility_networks:make': 'feasibility_networks' has no 'make'; check the name after the "
         "colon"),
        ("factory: digits", "factory: feasibility_networks:a_number",
         "2: dataset: 'feasibility_networks:a_number' is a int, which cannot be called; name a function or class"),
        ("factory: digits", "factory: feasibility_networks:unlabelled",
         "2: dataset: item 0 of the dataset 'feasibility_networks:unlabelled' has the label None, which is not a whole "
         "number"),
        # networks
        ("factory: mlp", "factory: resnet",
         "4: model: unknown model 'resnet'; known are mlp, small_cnn, embedding_classifier and package.module"),
        ("hidden: [12, 8]", "widths: [4]",
         "4: model: the arguments {'input_shape': (64,), 'class_count': 10, 'widths': [4]} do not fit mlp("),
        ("[12, 8]", "[12, 0]", "4: model: hidden has 0, not a whole number from 1 on"),
        # what the attribution, the queries and the selection name
        ("samples: 40", "samples: 9",
         "8: attribution.samples: 9 samples cannot hold each of the 10 classes; take 10 or more"),
        ("layer: fc1,", "layer: nope,",
         "11: queries.0.parameters.layer: the network has no layer 'nope'; it has input, fc1, fc2, output"),
        ("kind: unit", "kind: neuron",
         "11: queries.0.parameters.kind: the network has no kind 'neuron'; it has input, unit, output"),
        ("top_influential_neurons\n    parameters: {layer: fc1, kind: unit}",
         "strongest_paths\n    parameters: {output: 10}",
         "11: queries.0.parameters.output: the network has no output 10; it has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ("class:9", "class:10", "12: queries.0.target: 'class:10' is outside the 10 classes (class:0 to class:9)"),
        ("budget: 0.25", "budget: 0.25\n      query: top_influential_neurons\n      parameters: {layer: fc9}",
         "20: stages.1.select.parameters.layer: the network has no layer 'fc9'; it has input, fc1, fc2, output"),
        ("budget: 0.25", "budget: 0.25\n      target: class:12",
         "19: stages.1.select.target: 'class:12' is outside the 10 classes (class:0 to class:9)"),
        ("policy: top_influence", "policy: best",
         "17: stages.1.select.policy: unknown policy 'best'; known are class_error, fisher, gradient_norm, "),
            ("budget: 0.25", "budget: {share: 0.25, coverage: 3}",
             "18: stages.1.select.budget: the budget cannot train every neuron of layer 'fc1' once in 3 stages: that "
             "takes 4; raise 'share' or 'coverage'"),
            ("policy: top_influence", "policy: {inverse: best}", "17: stages.1.select.policy: unknown policy 'best'"),
            ("  - epochs: 2", "  - {epochs: 2, kind: random_layers, layers: 3}",
             "14: stages.0: layers is 3; the network has 2 hidden layers to draw"),
            ("  - epochs: 1", "  - {epochs: 1, kind: top_layers, layers: 4}\n  - epochs: 1",
             "15: stages.1: layers is 4; the network has 3 layers"),
        ("layers: [fc1]", "layers: [fc1, output]",
         "19: stages.1.select.layers: 'output' is not a hidden layer of the network; known are fc1, fc2"),
        ("[12, 8]", "[]",
         "11: queries.0.parameters.layer: the network has no layer 'fc1'; it has input, output"),
    ],
)  # fmt: skip
def test_one_wrong_value(file: Path, before: str, after: str, expected: str):
    assert complaint(file, before, after).startswith(f"small.yaml:{expected}")


def with_network(name: str) -> str:
    """An experiment on images with a network of the module, one stage and no queries."""
    return (
        f"name: small\ndataset: {{factory: digits_images}}\nmodel: {{factory: feasibility_networks:{name}}}\n"
        "stages: [{epochs: 1}]\n"
    )


MIXES = "reads what mixes neurons outside a layer: "


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("nine_classes", "model 'feasibility_networks:nine_classes' turns 2 inputs into shape (2, 9); with 10 classes"),
        ("Scaled", f"the network's output {MIXES}softmax at 'softmax'"),
        ("pooled_before_the_first_layer", f"layer '2' {MIXES}AvgPool2d at '0'"),
        ("pooled_before_a_convolution", f"layer '1' {MIXES}AvgPool2d at '0'"),
        ("diverged", "no attribution graph can be made of the network: the network's scores are not finite"),
    ],
)
def test_networks_without_a_graph(file: Path, network: str, expected: str):
    assert complaint(file, VALID, with_network(network)).startswith(f"small.yaml:3: model: {expected}")


@pytest.mark.parametrize("network", ["Residual", "linear_over_rows"])
def test_networks_with_skips_and_rows_of_features_have_graphs(file: Path, network: str):
    file.write_text(with_network(network), encoding="utf-8")
    data, _ = check_feasible(load_experiment(file))
    assert data.class_count == 10


def test_a_network_without_hidden_layers_has_nothing_to_select(file: Path):
    text = with_network("nine_classes").replace("feasibility_networks:nine_classes", "mlp, arguments: {hidden: []}")
    text = text.replace("[{epochs: 1}]", "\n- {epochs: 1}\n- {epochs: 1, select: {policy: random, budget: 1}}")
    said = complaint(file, VALID, text)
    assert said == "small.yaml:6: stages.1.select: the network has no hidden layer to select neurons from"


def test_a_valid_experiment_leaves_the_random_state_as_it_was(file: Path):
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    check_feasible(load_experiment(file))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == states[1:]


@pytest.mark.parametrize("method", ["deeplift", "gradient_times_activation"])
def test_the_check_leaves_the_network_as_it_was_made(file: Path, method: str):
    text = with_network("normalised_and_thinned") + f"attribution: {{method: {method}}}\n"
    file.write_text(text, encoding="utf-8")
    experiment = load_experiment(file)
    data, checked = check_feasible(experiment)
    made = build_model(experiment.model.factory, {}, data, seed=0)
    assert all(module.training for module in checked.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in checked.parameters())
    assert checked.state_dict().keys() == made.state_dict().keys()
    assert all(torch.equal(checked.state_dict()[name], value) for name, value in made.state_dict().items())


def test_the_experiments_of_this_project_can_run(file: Path):
    folder = Path(__file__).parents[2] / "experiments"
    experiments = load_experiments(folder)
    comparisons = [path for path in folder.iterdir() if is_comparison(path)]  # test_comparison has them
    assert len(experiments) == len(list(folder.iterdir())) - len(comparisons)
    for experiment in experiments.values():
        check_feasible(experiment)
