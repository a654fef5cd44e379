"""The page on targeted training holds: its code runs, and its table of layers is that of the code."""

import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from attrgraph_core.peers.stage_kinds import STAGE_KINDS
from attrgraph_core.targeting.policies import built_in_policies
from attrgraph_core.targeting.target_neurons import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "targeting.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_code_runs(capsys, tmp_path):
    torch.manual_seed(0)
    layers = OrderedDict(
        fc1=nn.Linear(6, 32), relu=nn.ReLU(), fc2=nn.Linear(32, 8), tanh=nn.Tanh(), output=nn.Linear(8, 4)
    )
    samples, classes = torch.randn(12, 6), torch.arange(12) % 4
    names = {
        "torch": torch, "model": nn.Sequential(layers), "samples": samples, "classes": classes, "folder": tmp_path,
        "loader": [(samples[:6], classes[:6]), (samples[6:], classes[6:])],
    }  # fmt: skip
    assert len(CODE) == 4
    for block in CODE:
        exec(block, names)
    printed = capsys.readouterr().out
    assert "11% of the weights took a step" in printed
    assert "[(8, 3), (8,)]" in printed
    assert "rows memory" in printed
    assert (tmp_path / "optimizer.safetensors").exists()


def test_every_kind_of_layer_is_named():
    table = PAGE[PAGE.index("## What a neuron is") : PAGE.index("A neuron is what leads")]
    for kind in KINDS:
        name = kind.__name__
        assert name in table or name in ("BatchNorm2d", "BatchNorm3d"), name


def test_every_policy_and_every_kind_of_stage_is_named():
    policies = PAGE[PAGE.index("## Policies") : PAGE.index("Sets combine")]
    assert set(re.findall(r"^\| `(\w+)`", policies, re.MULTILINE)) == set(built_in_policies())
    kinds = PAGE[PAGE.index("## Other kinds of stage") : PAGE.index("`stop_when")]
    assert re.findall(r"^\| `(\w+)`", kinds, re.MULTILINE) == list(STAGE_KINDS)
