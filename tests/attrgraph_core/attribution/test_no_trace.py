"""Whatever happens, the network, its gradients, hooks and mode, the inputs and the random state are as before."""

import contextlib
import random

import numpy as np
import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.linter import lint
from attrgraph_core.attribution.methods import METHODS
from attrgraph_core.attribution.neuron_methods.kernel_shap import KernelShap
from attrgraph_core.attribution.neuron_methods.lime import Lime
from attrgraph_core.attribution.summit import top_influence_counts
from attrgraph_core.attribution.target import Logits

QUICK = {"kernel_shap": KernelShap(draws=30), "lime": Lime(draws=30)}


def network() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.AvgPool2d(2), nn.Dropout(0.5),
        nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 3),
    ).double()  # fmt: skip
    made(torch.randn(8, 1, 4, 4).double()).sum().backward()  # running statistics and gradients of its own
    made.train()
    made[1].eval()
    made[6].bias.requires_grad_(False)
    made[0].register_forward_hook(lambda module, inputs, output: None)  # a user's own
    return made


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def everything(model: nn.Module, inputs: torch.Tensor) -> list:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return [
        {name: (id(tensor), tensor._version, tensor.detach().clone().tolist()) for name, tensor in tensors.items()},
        {name: (tensor.requires_grad, None if tensor.grad is None else tensor.grad.clone().tolist())
         for name, tensor in tensors.items()},
        [(module.training, sorted(vars(module)), [list(getattr(module, hooks)) for hooks in HOOKS])
         for module in model.modules()],
        (inputs.requires_grad, inputs.grad, inputs.tolist()),
        torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist(), torch.is_grad_enabled(),
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["success", "error", "Ctrl-C"])
@pytest.mark.parametrize("method", METHODS)
def test_attribution_leaves_no_trace(method, end, monkeypatch):
    model, inputs = network(), torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    before = everything(model, inputs)
    raised = {"success": None, "error": AttrGraphError("stopped"), "Ctrl-C": KeyboardInterrupt()}[end]
    if raised is not None:  # where the score is made: every hook is set then, and what is random has been drawn

        def stop(*arguments, **keywords):
            raise raised

        monkeypatch.setattr(Logits, "score", stop)
    with contextlib.nullcontext() if raised is None else pytest.raises(type(raised)):
        attribute(model, inputs, torch.arange(4) % 3, method=QUICK.get(method, method), baseline=inputs[:2])
    assert everything(model, inputs) == before


def test_the_linter_and_counts_of_strongest_sources_leave_no_trace():
    model, inputs = network(), torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    before = everything(model, inputs)
    lint(model, inputs)
    top_influence_counts(model, [(inputs, torch.arange(4) % 3)], k=2)
    assert everything(model, inputs) == before


@pytest.mark.parametrize("method", ["gradient_shap", "kernel_shap", "lime"])
def test_what_is_drawn_depends_on_the_seed_alone(method):
    model, inputs = network(), torch.randn(2, 1, 4, 4).double()
    kind = type(QUICK[method]) if method in QUICK else METHODS[method]

    def attributions(seed: int) -> list[float]:
        torch.rand(3)
        graph = attribute(model, inputs, 0, method=kind(draws=40, seed=seed), baseline=inputs[:2] * 0.5)
        return graph.neurons["attribution"].tolist()

    assert attributions(1) == attributions(1) != attributions(2)
