"""What no method can attribute is named before or instead of any result, by all that looks into a network alike."""

import pytest
import torch
from torch import Tensor, nn

from attrgraph_core import AttrGraphError, attribute, attribute_dataset
from attrgraph_core.attribution.ablation import ablate_edges, ablate_neurons
from attrgraph_core.attribution.depara import deep_attribution_graph
from attrgraph_core.attribution.linter import lint
from attrgraph_core.attribution.methods import EDGE_METHODS, METHODS
from attrgraph_core.attribution.summit import top_influence_counts

INPUTS = torch.tensor([[0.5, -1.0, 2.0, 1.0], [1.0, 0.0, -0.5, 0.25], [2.0, 1.0, 0.0, -1.0]])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def with_weight(value: float) -> nn.Module:
    model = network()
    model[0].weight.data[0, 0] = value
    return model


def half_elsewhere() -> nn.Module:
    model = network()
    model[2] = model[2].to("meta")
    return model


class Overflowing(nn.Module):
    """Activations that are infinite, scores that are not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.last(torch.sigmoid(torch.exp(self.first(x) * 1e4)))


CASES = {
    "weights that are not numbers": (
        {"model": with_weight(torch.nan)}, "the network's scores are not finite; its weights may have diverged",
    ),
    "infinite weights": ({"model": with_weight(torch.inf)}, "not finite; its weights may have diverged"),
    "no network": ({"model": None}, "a network is a torch.nn.Module, not None"),
    "inputs of another precision": (
        {"inputs": INPUTS.double()}, r"the inputs are torch.float64 and the network is torch.float32; give inputs.to",
    ),
    "no samples": ({"inputs": INPUTS[:0]}, "there are no samples to attribute"),
    "inputs that are not numbers": ({"inputs": INPUTS / 0}, "the inputs hold values that are not finite"),
    "inputs of another kind": ({"inputs": INPUTS.tolist()}, r"inputs are a list; give a tensor \(samples, ...\)"),
    "inputs of another shape": (
        {"inputs": INPUTS[:, :2]}, r"Sequential does not take inputs of shape \(3, 2\): .*shapes cannot be multiplied",
    ),
    "a label outside the classes": (
        {"target": torch.tensor([0, 1, 3])}, r"target 3 is outside the network's 3 outputs \(0 to 2\)",
    ),
    "a label below the classes": ({"target": -1}, "target -1 is outside"),
    "a baseline of another shape": (
        {"baseline": torch.zeros(2, 5)}, r"the baseline has shape \(2, 5\); one input has shape \(4,\)",
    ),
    "a baseline that is no number": ({"baseline": INPUTS[:2] / 0}, "the baseline holds values that are not finite"),
    "no baseline": ({"baseline": INPUTS[:0]}, "the baseline has shape"),
    "a network of several devices": ({"model": half_elsewhere()}, r"on several devices \(cpu, meta\); move it to one"),
    "a network without values": (
        {"model": network().to("meta")}, "the network is on the device meta, which holds no values; load its weights",
    ),
    "inputs without values": ({"inputs": INPUTS.to("meta")}, "the inputs are on the device meta"),
    "a baseline without values": ({"baseline": INPUTS.to("meta")}, "the baseline is on the device meta"),
    "a class and no network": ({"model": nn.Linear}, "not the class Linear; give one of its objects"),
    "a function and no network": ({"model": len}, "a network is a torch.nn.Module, not <built-in function len>"),
    "a compiled network": ({"model": torch.compile(network())}, "hides the network that it wraps; .*model._orig_mod"),
    "a layer alone": ({"model": nn.Linear(4, 3)}, r"Linear alone is a layer .*; give nn.Sequential\(layer\)"),
    "a baseline that is no tensor": ({"baseline": [0.0] * 4}, "unknown baseline"),
    "a number for a baseline": ({"baseline": 0}, "unknown baseline 0"),
    "a number for limits": ({"keep": 3}, "keep is 3; give EdgeLimits"),
    "labels that are words": ({"target": ["cat", "dog", "cat"]}, "the target of type list make no tensor"),
    "labels of ones and zeros": (
        {"target": "loss", "labels": torch.eye(3).long()}, r"not a row of 3; give labels.argmax\(dim=1\)",
    ),
    "labels without values": ({"target": torch.tensor([0, 1, 2]).to("meta")}, "the labels are on the device meta"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_method_names_what_is_wrong(case):
    changed, message = CASES[case]
    for method in METHODS:
        given = {"model": network(), "inputs": INPUTS, "target": 0, "baseline": INPUTS[:2]} | changed
        with pytest.raises(AttrGraphError, match=message):
            attribute(given.pop("model"), given.pop("inputs"), given.pop("target"), method=method, **given)


def linted(model, inputs, **given) -> None:
    for found in lint(model, inputs):
        raise AttrGraphError(f"{found.what}; {found.change}")


# What takes the network and the inputs of a case, and which arguments of it.
OTHERS = {
    "ablate_neurons": (
        lambda model, inputs, target=0, labels=None: ablate_neurons(
            model, inputs, target, [("0", 1)], labels=labels, kind="mean"
        ),
        {"target", "labels"},
    ),
    "ablate_edges": (
        lambda model, inputs, target=0, labels=None: ablate_edges(
            model, inputs, target, [("0", 1, "2", 0)], labels=labels
        ),
        {"target", "labels"},
    ),
    "top_influence_counts": (
        lambda model, inputs, baseline=None: top_influence_counts(
            model, [(inputs, [0] * len(inputs))], baseline=baseline
        ),
        {"baseline"},
    ),
    "deep_attribution_graph": (deep_attribution_graph, set()),
    "lint": (linted, set()),
}


LAYS_NOTHING_OUT = ("a layer alone", "a compiled network")
REFUSED = [
    (name, case)
    for name, (_, arguments) in OTHERS.items()
    for case, (changed, _) in CASES.items()
    if changed.keys() <= {"model", "inputs"} | arguments
    and not (name == "deep_attribution_graph" and case in LAYS_NOTHING_OUT)
]


@pytest.mark.parametrize(("name", "case"), REFUSED)
def test_what_else_looks_into_a_network_refuses_it_by_the_same_words(name, case):
    call, _ = OTHERS[name]
    changed, message = CASES[case]
    if name == "deep_attribution_graph" and case == "weights that are not numbers":
        message = "the network's features are not finite; its weights may have diverged"
    given = {"model": network(), "inputs": INPUTS} | changed
    with pytest.raises(AttrGraphError, match=message):
        call(given.pop("model"), given.pop("inputs"), **given)


def test_scores_that_one_class_alone_lacks_are_no_obstacle_for_the_others():
    model = network()
    model[2].bias.data[2] = -torch.inf
    assert lint(model, INPUTS) == []
    assert ablate_neurons(model, INPUTS, 1, [("0", 1)])["abs_effect"].between(1e-6, 1e6).all()
    with pytest.raises(AttrGraphError, match="the network's scores are not finite"):
        ablate_neurons(model, INPUTS, 2, [("0", 1)])


@pytest.mark.parametrize(
    "method",
    ["deeplift", "gradient_times_activation", "conductance", "lrp_epsilon", "saliency", "layer_integrated_gradients"],
)
def test_activations_that_overflow_below_finite_scores_are_named(method):
    with pytest.raises(AttrGraphError, match="not finite; its weights may have diverged"):
        attribute(Overflowing(), INPUTS, 0, method=method, baseline=INPUTS[:1] / 2)
    if method in EDGE_METHODS:
        with pytest.raises(AttrGraphError, match="not finite; its weights may have diverged"):
            top_influence_counts(Overflowing(), [(INPUTS, [0, 0, 0])], method=method, baseline=INPUTS[:1] / 2)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "there are no samples to attribute"),
        ([(INPUTS, torch.tensor([0, 1]))], "3 inputs need as many labels"),
        ([(INPUTS, torch.rand(3))], "labels are whole numbers"),
        ([(INPUTS, torch.eye(3).long())], "not a row of 3"),
        (
            [{"x": INPUTS, "y": torch.tensor([0, 1, 2])}],
            r"a batch of the loader is a dict of 2; make it \(inputs, labels",
        ),
        ([(INPUTS, torch.tensor([0, 1, 2]), INPUTS)], "a batch of the loader is a tuple of 3"),
        ([INPUTS], "a batch of the loader is a Tensor"),
        (None, "the loader is a NoneType"),
        ([(INPUTS, torch.tensor([0, 1, 2])), (INPUTS[:, :3], torch.tensor([0, 1, 2]))], r"shape \(3,\) comes after"),
        ([(INPUTS, torch.tensor([0, 1, 2])), (INPUTS.double(), torch.tensor([0, 1, 2]))], "inputs are torch.float64"),
        ([(INPUTS, torch.tensor([0, 1, 2]).to("meta"))], "the labels are on the device meta"),
        ([(INPUTS, torch.tensor([0, 1, 3]))], "target 3 is outside the network's 3 outputs"),
    ],
)
@pytest.mark.parametrize("method", ["deeplift", "saliency"])
def test_batches_that_do_not_fit_are_named(method, batches, message):
    with pytest.raises(AttrGraphError, match=message):
        attribute_dataset(network(), batches, method=method)
    if method in EDGE_METHODS:
        with pytest.raises(AttrGraphError, match=message):
            top_influence_counts(network(), batches, method=method)


def text_network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 3)), torch.tensor([[0, 4, 2], [1, 1, 3]])


@pytest.mark.parametrize("method", ["deeplift", "conductance", "layer_integrated_gradients", "kernel_shap"])
def test_tokens_that_are_none_are_named(method):
    model, tokens = text_network()
    wrong = torch.tensor([[0, 1, 2], [0, 9, 2]])
    with pytest.raises(AttrGraphError, match="a token that the network has no embedding for"):
        attribute(model, wrong, 0, method=method)
    with pytest.raises(AttrGraphError, match="a token that the network has no embedding for"):
        attribute(model, tokens, 0, method=method, baseline=wrong[1])
    with pytest.raises(AttrGraphError, match="a token that the network has no embedding for"):
        attribute(model, wrong[1:], 0, method=method)
    with pytest.raises(AttrGraphError, match=r"the inputs are tokens and the baseline is torch.float32; give one of"):
        attribute(model, tokens, 0, method=method, baseline=torch.rand(3))


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "deep_attribution_graph"])
def test_tokens_that_are_none_are_named_by_all(name):
    model, _ = text_network()
    with pytest.raises(AttrGraphError, match="a token that the network has no embedding for"):
        OTHERS[name][0](model, torch.tensor([[0, 1, 2], [0, 9, 2]]))


@pytest.mark.parametrize("as_given", [
    lambda labels: labels.int(), lambda labels: labels.to(torch.uint8), lambda labels: labels.tolist(),
    lambda labels: labels.numpy(),
], ids=["int32", "uint8", "list", "array"])  # fmt: skip
def test_labels_are_whole_numbers_of_any_type(as_given):
    model, labels = network(), torch.tensor([0, 2, 2])

    def found(labels) -> list:
        one = [attribute(model, INPUTS, labels), attribute(model, INPUTS, "loss", labels=labels)]
        graphs = [*one, *attribute_dataset(model, [(INPUTS, labels)], "all").values()]
        return [graph.edges.weight.tolist() for graph in graphs]

    assert found(as_given(labels)) == found(labels)
    assert (
        attribute(model, INPUTS, as_given(labels)[1]).edges.weight.tolist()
        == attribute(model, INPUTS, 2).edges.weight.tolist()
    )


@pytest.mark.parametrize("method", ["deeplift", "conductance", "saliency"])
def test_inference_mode_and_no_grad_change_nothing(method):
    model = network()
    expected = attribute(model, INPUTS, 1, method=method).neurons.attribution.tolist()
    for context in (torch.inference_mode, torch.no_grad):
        with context():
            assert attribute(model, INPUTS.clone(), 1, method=method).neurons.attribution.tolist() == expected
            assert torch.is_inference_mode_enabled() == (context is torch.inference_mode)
            assert not torch.is_grad_enabled()


def test_a_batch_of_one_and_views_and_inputs_with_a_gradient_are_inputs_like_others():
    model = network()
    whole = attribute(model, INPUTS, 1).neurons.attribution.to_numpy()
    apart = [attribute(model, sample[None], 1).neurons.attribution.to_numpy() for sample in INPUTS]
    assert sum(apart) / 3 == pytest.approx(whole, abs=1e-6)
    view = INPUTS.T.contiguous().T.requires_grad_()
    assert attribute(model, view, 1).neurons.attribution.tolist() == pytest.approx(list(whole), abs=1e-6)
    assert view.grad is None
