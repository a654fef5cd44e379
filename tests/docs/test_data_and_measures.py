"""The pages on data and measures hold: every built-in set is there, and their code runs."""

import re
from pathlib import Path

from attrgraph_core.datasets import DATASETS
from attrgraph_core.training.data import load_data
from attrgraph_core.training.models import build_model

DOCS = Path(__file__).parents[2] / "docs"
DATA, MEASURES = ((DOCS / page).read_text(encoding="utf-8") for page in ("data.md", "measures.md"))


def test_every_data_set_is_named():
    assert all(f"`{name}`" in DATA for name in DATASETS)


def test_the_code_runs():
    names = {"model": build_model("mlp", {"hidden": [16]}, load_data("digits"), 0)}
    for block in re.findall(r"^```python\n(.*?)^```", DATA + MEASURES, re.DOTALL | re.MULTILINE):
        exec(block, names)
    assert names["table"]["epsilon"].tolist() == [0.0, 0.05, 0.1]
    assert names["epochs"] == {"full": 1, "targeted": 2}
