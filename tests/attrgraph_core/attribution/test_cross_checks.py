"""Ours against other libraries: zennit and zennit-crp, shap, and the sums of edges against Captum's layers."""

import pytest
import torch
from captum.attr import DeepLiftShap, LayerConductance, LayerDeepLift, LayerGradientXActivation
from torch import nn

from attrgraph_core import attribute
from attrgraph_core.attribution.conductance import Conductance
from attrgraph_core.attribution.neuron_methods.kernel_shap import KernelShap
from attrgraph_core.attribution.relevance import LayerwiseRelevance
from attrgraph_core.attribution.relevance_rules import Epsilon, GeneralisedGamma

CAPTUM_WARNS = pytest.mark.filterwarnings("ignore:Setting (forward|backward):UserWarning")  # of its own hooks


def mlp() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(5, 6)


def cnn() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(24, 3),
    )  # fmt: skip
    return network, torch.randn(5, 2, 8, 8)


RULES = {"epsilon": Epsilon(1e-2), "gamma": GeneralisedGamma(0.3, 1e-2)}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("make", [mlp, cnn])
def test_relevance_of_the_input_equals_zennit(make, rule):
    zennit = pytest.importorskip("zennit", reason="zennit is in the development group: make install-dev")
    from zennit.attribution import Gradient
    from zennit.composites import LayerMapComposite
    from zennit.rules import Epsilon as ZennitEpsilon
    from zennit.rules import Gamma, Pass
    from zennit.types import Activation, Linear

    assert zennit is not None
    network, inputs = make()
    network, inputs = network.double(), inputs.double()
    theirs = ZennitEpsilon(epsilon=1e-2) if rule == "epsilon" else Gamma(gamma=0.3, stabilizer=1e-2)
    composite = LayerMapComposite([(Activation, Pass()), (Linear, theirs)])
    target = torch.zeros(3, dtype=torch.float64)
    target[1] = 1
    with Gradient(network, composite) as attributor:
        _, relevance = attributor(inputs.clone().requires_grad_(), lambda output: output * target)
    graph = attribute(network, inputs, 1, method=LayerwiseRelevance("lrp", RULES[rule]))
    ours = graph.neurons[graph.neurons.kind == "input"]["attribution"].to_numpy()
    expected = relevance.mean(dim=0).flatten().detach().numpy()
    assert abs(ours - expected).max() < 1e-10


@CAPTUM_WARNS
def test_deepshap_equals_captum():
    network, inputs = mlp()
    network, inputs = network.double(), inputs.double()
    background = torch.randn(4, 6, dtype=torch.float64)
    expected = DeepLiftShap(network).attribute(inputs, background, target=1).mean(dim=0)
    graph = attribute(network, inputs, 1, method="deepshap", baseline=background)
    ours = graph.neurons[graph.neurons.kind == "input"]["attribution"].to_numpy()
    assert abs(ours - expected.detach().numpy()).max() < 1e-10


def test_a_composite_equals_zennits():
    """A rule for convolutions, another for linear layers."""
    pytest.importorskip("zennit", reason="zennit is in the development group: make install-dev")
    from zennit.attribution import Gradient
    from zennit.composites import LayerMapComposite
    from zennit.rules import Epsilon as ZennitEpsilon
    from zennit.rules import Gamma, Pass
    from zennit.types import Activation, Convolution, Linear

    network, inputs = (part.double() for part in cnn())
    composite = LayerMapComposite(
        [(Activation, Pass()), (Convolution, Gamma(gamma=0.25, stabilizer=1e-6)), (Linear, ZennitEpsilon(epsilon=1e-6))]
    )
    with Gradient(network, composite) as attributor:
        target = torch.eye(3, dtype=torch.float64)[2]
        _, relevance = attributor(inputs.clone().requires_grad_(), lambda output: output * target)
    graph = attribute(network, inputs, 2, method="lrp_composite")
    expected = relevance.mean(dim=0).flatten().detach().numpy()
    assert abs(of_layer(graph, "input") - expected).max() < 1e-10


def of_layer(graph, layer):
    return graph.neurons[graph.neurons.layer == layer]["attribution"].to_numpy()


MATPLOTLIB_WARNS = pytest.mark.filterwarnings(  # when shap and crp are imported
    "ignore:.*set_(bad|over|under):PendingDeprecationWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


@MATPLOTLIB_WARNS
@CAPTUM_WARNS
@pytest.mark.parametrize("method", ["deepshap", "deeplift_shap"])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Softplus])
def test_deepshap_equals_shaps_deep_explainer(method, activation):
    shap = pytest.importorskip("shap", reason="shap is in the development group: make install-dev")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 9), activation(), nn.Linear(9, 8), activation(), nn.Linear(8, 3))
    inputs, background = torch.randn(5, 6), torch.randn(4, 6)
    expected = shap.DeepExplainer(network, background).shap_values(inputs)[:, :, 1]
    graph = attribute(network, inputs, 1, method=method, baseline=background)
    assert abs(of_layer(graph, "input") - expected.mean(axis=0)).max() < 1e-5  # shap computes in float32


@MATPLOTLIB_WARNS
@pytest.mark.parametrize("features", [4, 8])
def test_kernel_shap_equals_the_exact_shapley_values(features):
    shap = pytest.importorskip("shap", reason="shap is in the development group: make install-dev")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(features, 9), nn.Tanh(), nn.Linear(9, 3)).double()
    inputs, baseline = torch.randn(3, features).double(), torch.randn(1, features).double()

    def score(rows):
        with torch.no_grad():
            return network(torch.as_tensor(rows).double())[:, 1].numpy()

    explainer = shap.KernelExplainer(score, baseline.numpy())  # exact, as 300 are more than there are coalitions
    exact = explainer.shap_values(inputs.numpy(), nsamples=300, l1_reg=False, silent=True)
    graph = attribute(network, inputs, 1, method=KernelShap(draws=2000), baseline=baseline)
    assert abs(of_layer(graph, "input") - exact.mean(axis=0)).max() < 0.05 * abs(exact).max()  # of draws


@MATPLOTLIB_WARNS
def test_relevance_between_channels_equals_zennit_crps():
    """Its AttributionGraph goes concept by concept and source by source; ours are all edges of the layer."""
    pytest.importorskip("crp", reason="zennit-crp is in the development group: make install-dev")
    from crp.attribution import AttributionGraph, CondAttribution
    from crp.concepts import ChannelConcept
    from crp.graph import trace_model_graph
    from zennit.composites import LayerMapComposite, layer_map_base
    from zennit.rules import Epsilon as ZennitEpsilon

    network, inputs = cnn()
    network, inputs = network.eval(), inputs[:1]
    names = ["0", "3"]
    attributor = AttributionGraph(
        CondAttribution(network), trace_model_graph(network, inputs, names), {name: ChannelConcept() for name in names}
    )
    composite = LayerMapComposite([*layer_map_base(1e-6), ((nn.Conv2d, nn.Linear), ZennitEpsilon(1e-6))])
    graph = attribute(network, inputs, 2, method="lrp_epsilon")
    edges = graph.edges[graph.edges.target_layer == "3"].set_index(["target_index", "source_index"])["weight"]
    for channel in range(6):
        _, found = attributor(
            inputs.clone().requires_grad_(), composite, channel, "3", target=2, width=[4], abs_norm=False, verbose=False
        )
        theirs = {source: float(relevance) for _, source, relevance in found["3", channel]}
        assert len(theirs) == 4
        assert edges.loc[channel].to_dict() == pytest.approx(theirs, rel=1e-3, abs=1e-6)


@CAPTUM_WARNS
@pytest.mark.parametrize(
    ("method", "captum", "tolerance"),
    [
        ("gradient_times_activation", LayerGradientXActivation, 1e-12),
        ("deeplift", LayerDeepLift, 1e-12),
        (Conductance(steps=1000), LayerConductance, 5e-3),  # another rule for the same integral
    ],
)
@pytest.mark.parametrize("make", [mlp, cnn])
def test_row_and_column_sums_of_edges_are_captums_layer_attributions(method, captum, tolerance, make):
    network, inputs = make()
    if make is cnn:  # Captum's DeepLIFT is not complete below a ReLU that feeds a max pooling
        network[2] = nn.AvgPool2d(2)
    network, inputs = network.double().eval(), inputs.double()
    graph = attribute(network, inputs, 1, method=method)
    into = graph.edges.groupby(["target_layer", "target_index"])["weight"].sum()
    out_of = graph.edges.groupby(["source_layer", "source_index"])["weight"].sum()
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    for name in names:
        steps = {"n_steps": 1000} if captum is LayerConductance else {}
        given = {} if captum is LayerGradientXActivation else {"baselines": torch.zeros_like(inputs)}
        found = captum(network, network.get_submodule(name)).attribute(inputs, target=1, **given, **steps).detach()
        expected = found.flatten(2).sum(dim=2).mean(dim=0) if found.dim() > 2 else found.mean(dim=0)
        own = graph.neurons[graph.neurons.layer == name].set_index("index")
        size = expected.abs().max().item()
        assert (into[name] + own["absorbed_by_bias"] - expected.numpy()).abs().max() < tolerance * size
        if name != names[-1]:
            assert (out_of[name] - expected.numpy()).abs().max() < tolerance * size
