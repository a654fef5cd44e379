"""The page on attribution holds: its code runs, its methods are those that there are."""

import re
from pathlib import Path

import torch
from torch import nn

from attrgraph_core.attribution.conductance import Conductance
from attrgraph_core.attribution.methods import METHODS

PAGE = (Path(__file__).parents[2] / "docs" / "attribution.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_code_runs(capsys):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
    inputs, labels, weights = torch.randn(12, 6), torch.arange(12) % 4, torch.randn(12, 4)
    names = {
        "model": model, "inputs": inputs, "labels": labels, "weights": weights,
        "loader": [(inputs[:6], labels[:6]), (inputs[6:], labels[6:])],
    }  # fmt: skip
    assert len(CODE) == 2
    for block in CODE:
        exec(block, names)
    assert sorted(names["graphs"]) == ["class:0", "class:1", "class:2", "class:3"]  # type: ignore[arg-type]
    assert "Tanh at '1'" in capsys.readouterr().out


def test_every_method_is_named():
    table = PAGE[PAGE.index("## Methods") : PAGE.index("`baseline` is")]
    first_cells = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`(\w+)`", first_cells))
    assert named == set(METHODS)
    assert f"Conductance(steps={Conductance().steps})" in PAGE
