import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError
from attrgraph_core.attribution.linter import lint
from tests.attrgraph_core.attribution.networks import make_network


def findings(name, method):
    network, inputs, _ = make_network(name)
    return [(found.severity, found.place) for found in lint(network, inputs, method)]


@pytest.mark.parametrize("method", ["deeplift", "gradient_times_activation", "conductance", "lrp_epsilon"])
def test_a_relu_network_is_fine_by_every_method(method):
    assert findings("MLP", method) == []


def test_what_breaks_completeness_is_named():
    assert findings("smooth MLP", "gradient_times_activation") == [
        ("note", "Tanh at '1'"), ("note", "Sigmoid at '4'"), ("note", "LayerNorm at '3'"),
    ]  # fmt: skip
    assert findings("smooth MLP", "conductance") == []


def test_context_that_is_held_is_named():
    assert findings("own attention", "deeplift") == [
        ("note", "LayerNorm at 'norm'"), ("note", "softmax at 'softmax'"), ("note", "matmul at 'matmul_1'"),
    ]  # fmt: skip


def test_a_baseline_of_tokens_is_worth_a_word():
    assert findings("text CNN", "deeplift") == [("note", "input")]


def test_what_has_no_gradient_is_refused_and_what_claims_nothing_is_not_noted():
    assert findings("text CNN", "saliency") == [("refused", "input")]
    for method in ("saliency", "lime", "feature_ablation", "occlusion", "internal_influence", "kernel_shap"):
        assert findings("smooth MLP", method) == []


def test_layers_that_a_path_passes_by_are_named():
    passed = [("note", "bottom"), ("note", "up")]
    assert findings("U-Net", "layer_integrated_gradients") == passed
    assert findings("U-Net", "ace") == [("note", "down"), *passed, ("note", "joined")]


def test_module_activations_are_asked_for_by_the_method_that_needs_them():
    assert findings("residual CNN", "deeplift_shap")[:2] == [
        ("refused", "GroupNorm at 'group_norm'"), ("refused", "relu at 'relu'"),
    ]  # fmt: skip


def test_a_network_that_cannot_be_laid_out_is_refused_with_the_reason():
    (found,) = lint(nn.Sequential(nn.Linear(4, 4), nn.Softmax(dim=1)), torch.zeros(1, 4))
    assert found.severity == "refused"
    assert "Softmax at '1'" in found.what
    assert found.change == "return the scores before it"


def test_what_cannot_be_laid_out_at_all_is_a_finding_too():
    network = nn.Sequential(nn.Linear(4, 3))
    for inputs, model, what in [
        (torch.zeros(1, 5), network, "does not take inputs of shape (1, 5)"),
        (torch.zeros(1, 4).tolist(), network, "the inputs are a list"),
        (torch.zeros(1, 4), nn.Sequential(nn.Linear(4, 3)).to("meta"), "on the device meta"),
    ]:
        (found,) = lint(model, inputs)
        assert found.severity == "refused"
        assert what in found.what


def test_an_unknown_method_is_an_error():
    with pytest.raises(AttrGraphError, match="unknown attribution method 'magic'"):
        lint(nn.Linear(2, 2), torch.zeros(1, 2), "magic")
