"""A contract over every method: what it declares is what it does."""

import subprocess
import sys
from importlib import import_module

import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.factors import AttributionMethod
from attrgraph_core.attribution.method import Method
from attrgraph_core.attribution.methods import EDGE_METHODS, METHODS, NEURON_METHODS, attribution_method
from attrgraph_core.attribution.neuron_methods.neuron_method import InputMethod, LayerMethod, NeuronMethod
from attrgraph_core.attribution.properties import ANALYSES, EDGES, INPUT, LAYERS, PROPERTIES
from tests.attrgraph_core.attribution.networks import make_network

ROWS = pytest.mark.parametrize("row", PROPERTIES, ids=lambda row: row.name)


def graph_by(row, network, inputs, labels, target=None):
    baseline = inputs[:3] if row.needs_background else None
    return attribute(network, inputs, labels if target is None else target, method=row.name, baseline=baseline)


def test_every_method_has_a_row_and_a_name_of_its_own():
    assert [row.name for row in PROPERTIES] == list(METHODS) == [*EDGE_METHODS, *NEURON_METHODS]
    assert [attribution_method(name).name for name in METHODS] == list(METHODS)
    assert len(set(METHODS)) == len(PROPERTIES) == 20


@ROWS
def test_what_is_declared_is_what_the_class_says(row):
    method = attribution_method(row.name)
    kinds = {EDGES: AttributionMethod, INPUT: InputMethod, LAYERS: NeuronMethod}
    assert isinstance(method, kinds[row.makes])
    assert isinstance(method, LayerMethod) <= (row.makes == LAYERS)
    assert method.uses_baseline == ("a baseline" in row.needs or row.needs_background)
    assert method.fewest_baselines == (2 if row.needs_background else 1)
    assert all((row.passes, row.strengths, row.weaknesses, row.cost_class, row.interpretability))


@ROWS
def test_what_it_claims_to_conserve_is_conserved(row):
    """By the table of neurons, on a ReLU network: the input's attributions, and what biases and stabilisers keep."""
    network, inputs, labels = make_network("MLP")
    graph = graph_by(row, network, inputs, labels)
    found = graph.neurons.loc[graph.neurons.kind == "input", "attribution"].sum()
    ledger = [column for column in graph.neurons if column.startswith("absorbed_by")]
    score = network(inputs).gather(1, labels[:, None]).mean()
    baselines = inputs[:3] if row.needs_background else torch.zeros_like(inputs[:1])
    expected = score - network(baselines)[:, labels].mean()
    if row.adds_up_to == "score":
        found, expected = found + graph.neurons[ledger].to_numpy().sum(), score
    if row.name == "ig2":  # relative to the end of its way, which its output neurons know
        expected = torch.tensor(graph.neurons.loc[graph.neurons.kind == "output", "attribution"].sum())
    size = (network(inputs).gather(1, labels[:, None]) - network(baselines)[:, labels].mean()).abs().mean().item()
    if row.adds_up_to == "nothing":
        assert row.conserves.startswith("nothing")
        assert graph.completeness_delta > 0.05  # else it should claim more
    else:
        assert found == pytest.approx(expected.item(), abs=row.gap * size)
        assert graph.completeness_delta <= 3 * row.gap


@ROWS
def test_a_graph_has_the_neurons_that_the_row_promises(row):
    network, inputs, labels = make_network("MLP")
    graph = graph_by(row, network, inputs, labels)
    layers = ["input", "4"] if row.makes == INPUT else ["input", "0", "2", "4"]
    assert list(graph.neurons.layer.unique()) == layers
    assert len(graph.edges) == (0 if row.makes != EDGES else 5 * 7 + 7 * 6 + 6 * 3)
    assert graph.method == row.name
    assert (graph.neurons.attribution.abs() <= graph.neurons.abs_attribution + 1e-12).all()


class OwnMethod(Method):
    name = "own"
    uses_baseline = False


def test_analyses_are_functions_with_names_of_their_own():
    assert not {row.name for row in ANALYSES} & set(METHODS)
    for row in ANALYSES:
        module, _, name = row.place.partition(":")
        assert callable(getattr(import_module(f"attrgraph_core.attribution.{module}"), name))
        assert all((row.makes, row.needs, row.conserves, row.passes, row.strengths, row.weaknesses, row.cost_class))
        assert row.adds_up_to == "nothing"
        assert not row.makes_edges


def test_a_background_is_asked_for_where_it_must_be():
    network, inputs, labels = make_network("MLP")
    for name in [row.name for row in PROPERTIES if row.needs_background]:
        for single in (None, "zeros", "mean", inputs[0], inputs[:1]):
            with pytest.raises(AttrGraphError, match=f"{name} needs a background set of 2 inputs or more: baseline="):
                attribute(network, inputs, labels, method=name, baseline=single)
    assert OwnMethod().obstacles(None) == []  # type: ignore[arg-type]


def test_the_table_is_read_without_torch():
    code = "import sys; import attrgraph_core.attribution.properties; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_linear_network_is_shared_out_by_effects_one_by_one():
    """What `feature_ablation`, `occlusion` and `ace` say of linear networks."""
    torch.manual_seed(0)
    network, inputs = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)).double(), torch.randn(6, 4).double()
    for name in ("feature_ablation", "occlusion"):
        assert attribute(network, inputs, 1, method=name).completeness_delta < 1e-6  # Captum's occlusion: float32
    graph = attribute(network, inputs, 1, method="ace", baseline=inputs)
    middle = (inputs.min(dim=0).values + inputs.max(dim=0).values) / 2
    expected = (network(inputs)[:, 1].mean() - network(middle)[1]).item()
    assert graph.neurons[graph.neurons.layer == "input"].attribution.sum() == pytest.approx(expected)
