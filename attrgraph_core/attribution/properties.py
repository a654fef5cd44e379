"""What there is of attribution methods, and what each needs, keeps and costs: one row a method, the only such place.

`PROPERTIES` are those of `attribute`, `ANALYSES` what stands beside them: functions of their own, with tables of their
own. `strengths`, `weaknesses`, `cost_class` and `interpretability` are the claims of the literature, those that a
research proposal would rest on; the measured cost is `costs.measure_costs`. Read without importing torch.
"""

from dataclasses import dataclass
from typing import Literal

EDGES, LAYERS, INPUT = "neurons, edges", "layers' neurons", "input neurons"


@dataclass(frozen=True)
class MethodProperties:
    """One method; `place` is the `module:class` in `attrgraph_core.attribution` that makes it with its defaults, or
    the `module:function` that is the analysis.

    `needs` names what must be there: a baseline, a background set, module activations. The input's attributions (and
    what biases and stabilisers keep) add up to what `adds_up_to` says, but for `gap` of its mean, in a ReLU network
    without normalisation; `conserves` says so in words. `passes` are forward and backward passes a sample, in words.
    """

    name: str
    place: str
    makes: str
    needs: str
    adds_up_to: Literal["score", "difference", "nothing"]
    gap: float
    conserves: str
    passes: str
    strengths: str
    weaknesses: str
    cost_class: str
    interpretability: str

    @property
    def makes_edges(self) -> bool:
        return self.makes == EDGES

    @property
    def needs_background(self) -> bool:
        return "a background set" in self.needs


EXACT, BY_STEPS, BY_DRAWS = 1e-9, 0.02, 0.2  # gaps in float64

PROPERTIES: tuple[MethodProperties, ...] = (
    MethodProperties(
        "deeplift", "deeplift:DeepLift", EDGES, "a baseline", "difference", EXACT,
        "score less baseline's, at every layer; context held", "1 + 1 a batch", "complete, no saturation",
        "depends on the baseline; attention and statistics held", "low", "high",
    ),
    MethodProperties(
        "gradient_times_activation", "gradient_times_activation:GradientTimesActivation", EDGES, "nothing", "score",
        EXACT, "score, with biases, in piecewise linear networks", "1", "cheapest; the weight's own gradient",
        "saturates; noisy; incomplete on smooth networks", "lowest", "medium",
    ),
    MethodProperties(
        "conductance", "conductance:Conductance", EDGES, "a baseline, steps", "difference", BY_STEPS,
        "score less baseline's, up to the steps' error", "steps + 1",
        "axiomatic; goes through attention and statistics", "many passes; depends on the baseline", "high", "high",
    ),
    MethodProperties(
        "lrp_epsilon", "relevance:lrp_epsilon", EDGES, "nothing", "score", EXACT,
        "score, with what biases and stabiliser keep", "1", "conserves by a ledger",
        "is gradient x activation on ReLU networks; context held", "low", "medium",
    ),
    MethodProperties(
        "lrp_gamma", "relevance:lrp_gamma", EDGES, "nothing", "score", EXACT,
        "score, with what biases and stabiliser keep", "1, four products a layer", "less noise: favours what agrees",
        "gamma is a choice; moves relevance, does not measure effects", "low", "high",
    ),
    MethodProperties(
        "lrp_composite", "relevance:lrp_composite", EDGES, "rules by layer", "score", EXACT,
        "score, with what biases and stabiliser keep", "1, four products a convolution",
        "a rule for each kind of layer", "rules are choices", "low", "high",
    ),
    MethodProperties(
        "deepshap", "deeplift:DeepShap", EDGES, "a background set", "difference", EXACT,
        "score less the background's mean; context held", "backgrounds + 1 a batch", "no single baseline to choose",
        "grows with the background", "medium", "high",
    ),
    MethodProperties(
        "expected_gradients", "conductance:ExpectedGradients", EDGES, "a background set, steps", "difference", BY_STEPS,
        "score less the background's mean, up to the steps' error", "backgrounds x (steps + 1)",
        "no single baseline to choose; axiomatic", "the dearest of those that make edges", "very high", "high",
    ),
    MethodProperties(
        "saliency", "neuron_methods.saliency:Saliency", INPUT, "nothing", "nothing", 0.0, "nothing: a sensitivity", "1",
        "simplest; no choices", "noisy; saturates; no shares", "lowest", "low",
    ),
    MethodProperties(
        "integrated_gradients", "neuron_methods.integrated_gradients:IntegratedGradients", INPUT, "a baseline, steps",
        "difference", BY_STEPS, "score less baseline's, up to the steps' error", "steps",
        "axiomatic; any differentiable network", "depends on the baseline; passes points unlike data", "high", "high",
    ),
    MethodProperties(
        "layer_integrated_gradients", "neuron_methods.layer_integrated_gradients:LayerIntegratedGradients", LAYERS,
        "a baseline, steps", "difference", BY_STEPS, "score less baseline's, at every layer that all paths cross",
        "steps x layers", "axiomatic at each layer; reads tokens", "layers have ways of their own, so no edges", "high",
        "high",
    ),
    MethodProperties(
        "gradient_shap", "neuron_methods.gradient_shap:GradientShap", INPUT, "a background set, draws", "difference",
        BY_DRAWS, "score less the background's mean, in expectation", "draws", "no single baseline; cheap for SHAP",
        "random; assumes features independent", "medium", "medium",
    ),
    MethodProperties(
        "deeplift_shap", "neuron_methods.deeplift_shap:DeepLiftShap", INPUT, "a background set, module activations",
        "difference", EXACT, "score less the background's mean", "2 x backgrounds", "the figure that Captum gives",
        "refuses functional and reused activations, attention, normalisations: deepshap has none of that", "medium",
        "high",
    ),
    MethodProperties(
        "kernel_shap", "neuron_methods.kernel_shap:KernelShap", INPUT, "a baseline, draws", "difference", 1e-3,
        "score less baseline's, by construction", "draws, sample by sample", "model-agnostic; Shapley values",
        "random; small inputs only", "very high", "high",
    ),
    MethodProperties(
        "lime", "neuron_methods.lime:Lime", INPUT, "a baseline, draws", "nothing", 0.0, "nothing: a local fit",
        "draws, sample by sample", "model-agnostic; sparse", "random; depends on kernel and penalty; small inputs only",
        "very high", "medium",
    ),
    MethodProperties(
        "feature_ablation", "neuron_methods.feature_ablation:FeatureAblation", INPUT, "a baseline", "nothing", 0.0,
        "nothing: effects one by one; all in a linear network", "features + 1", "a real intervention; no gradient",
        "blind to what stands in for each other", "high", "medium",
    ),
    MethodProperties(
        "occlusion", "neuron_methods.occlusion:Occlusion", INPUT, "a baseline, a window", "nothing", 0.0,
        "nothing: effects of windows", "windows + 1", "a real intervention; sees what windows hold together",
        "coarse; the window is a choice", "high", "medium",
    ),
    MethodProperties(
        "internal_influence", "neuron_methods.internal_influence:InternalInfluence", LAYERS, "a baseline, steps",
        "nothing", 0.0, "nothing: an average sensitivity", "steps x layers", "compares neurons of any layer",
        "no shares; depends on the baseline", "high", "medium",
    ),
    MethodProperties(
        "ig2", "neuron_methods.ig2:IterativePath", INPUT, "a baseline, steps", "difference", BY_STEPS,
        "score less that of the way's end, up to the steps' error", "2 x steps",
        "the way follows the network, less noise", "the way's end is found, not chosen", "high", "high",
    ),
    MethodProperties(
        "ace", "neuron_methods.ace:AverageCausalEffect", LAYERS, "a background set", "nothing", 0.0,
        "nothing: effects one by one; from the middle of the range in a linear network",
        "(1 + points a batch) x backgrounds x neurons", "causal: interventions on a neuron, hidden ones too",
        "many passes; misses joint effects; layers that all paths cross only", "very high", "high",
    ),
)  # fmt: skip

ANALYSES: tuple[MethodProperties, ...] = (
    MethodProperties(
        "ablation", "ablation:ablate_edges", "effects", "edges or neurons, a replacement", "nothing", 0.0,
        "nothing: exact effects one by one, or of all together", "1 an edge", "the truth about an edge; no rule",
        "blind to what stands in for each other; replaced values are unlike data", "very high", "high",
    ),
    MethodProperties(
        "summit", "summit:top_influence_counts", "counts of edges", "a method with edges, labels, k", "nothing", 0.0,
        "nothing: samples in which an edge is among its target's strongest", "as its method, each sample's edges apart",
        "what is always there is not hidden by what is strong in few", "k is a choice; no signs, no sizes", "high",
        "high",
    ),
    MethodProperties(
        "depara", "depara:deep_attribution_graph", "graph of probes", "probes", "nothing", 0.0,
        "nothing: maps of probes, likeness of their features", "1", "compares any two networks; needs no layout",
        "says nothing of neurons; depends on the probes", "lowest", "low",
    ),
)  # fmt: skip
