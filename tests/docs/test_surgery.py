"""The pages on surgery and recycling hold: their code runs, in order, and does what they say."""

import re
from pathlib import Path

import torch

from attrgraph_core.recycling.utility import UTILITIES
from attrgraph_core.training.weights import weights_hash
from tests.attrgraph_core.surgery.backdoor import TARGET, backdoored_cnn, backdoored_network

PAGES = Path(__file__).parents[2] / "docs"


def blocks(page: str) -> list[str]:
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_code_on_surgery_runs(capsys, tmp_path):
    model, case = backdoored_network()
    before = weights_hash(model.state_dict())
    names = {"torch": torch, "model": model, "bad": tuple(case.bad), "good": tuple(case.good), "folder": tmp_path}
    removal, undo, unrolling, training, masking = blocks("surgery.md")
    exec(removal, names)
    right = (model(case.bad.inputs).argmax(dim=1) == case.bad.labels).float().mean()
    assert right > 0.9
    exec(undo, names)
    assert weights_hash(model.state_dict()) == before
    exec(training, names)
    assert "256 weights trained" in capsys.readouterr().out
    exec(masking, names)
    assert not model._forward_pre_hooks
    cnn, images = backdoored_cnn()
    names |= {"model": cnn, "bad": tuple(images.bad), "good": tuple(images.good)}
    exec(unrolling, names)
    before, after = (
        (own(images.bad.inputs).argmax(dim=1) == TARGET).float().mean() for own in (cnn, names["unrolled"])
    )
    assert after < 0.1 < 0.9 < before


def test_the_code_on_recycling_runs(capsys):
    model, case = backdoored_network()
    batches = [(case.good.inputs, case.good.labels)] * 60
    names = {"torch": torch, "model": model, "loader": batches}
    for block in blocks("recycling.md"):
        exec(block, names)
    printed = capsys.readouterr().out
    assert names["recycler"].table()["renewed"].tolist() == [2, 1]
    assert "effective_rank" in printed


def test_every_utility_is_named():
    text = (PAGES / "recycling.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in UTILITIES)
