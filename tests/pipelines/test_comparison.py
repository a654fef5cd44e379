"""Comparisons: the file, the curves of small variants on real data, and a table worked by hand."""

import io
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console

from attrgraph_cli.comparison import run_comparison_file
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.stage_kinds import STAGE_KINDS
from pipelines.comparison import comparison_summary, curves_path, run_comparison
from pipelines.comparison_file import load_comparison
from pipelines.experiments import is_comparison, load_experiments
from pipelines.feasibility import check_feasible

FILE = """\
name: both
seeds: [0, 1]
dataset: {factory: digits}
model: {factory: mlp, arguments: {hidden: [32, 16]}}
training: {learning_rate: 0.01, batch_size: 256, schedule: constant}
attribution: {samples: 40}
variants:
  full:
    - epochs: 3
  covering:
    - epochs: 1
    - epochs: 1
      repeat: 3
      learning_rate: scaled
      select: {policy: {union: [top_influence, random]}, budget: {share: 0.5, coverage: 2}}
  thin:
    - {kind: thin, share: 0.5, epochs: 5}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTRGRAPH_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "both.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_variants_become_experiments(file: Path):
    comparison = load_comparison(file)
    stages = comparison.experiment_of("covering").stages
    assert [stage.kind for stage in stages] == ["full", "targeted", "targeted", "targeted"]
    assert stages[1] == stages[3]
    assert stages[1].select is not None
    assert stages[1].select.whole_budget.coverage == 2
    assert comparison.experiment_of("thin").stages[0].share == 0.5


def test_a_comparison_is_no_experiment_of_its_folder(file: Path):
    assert is_comparison(file)
    with pytest.raises(AttrGraphError, match="no experiment files"):
        load_experiments(file.parent)
    with pytest.raises(AttrGraphError, match="is a comparison of variants, and no experiment"):
        load_experiments(file)


def test_the_comparison_that_comes_with_the_project_can_run():
    comparison = load_comparison(Path(__file__).parents[2] / "experiments" / "compare.yaml")
    for variant in ("thin", "top_influence_covering", "random_layers", "meprop", "drtp"):
        check_feasible(comparison.experiment_of(variant))
    kinds = {stage.kind for stages in comparison.variants.values() for stage in stages}
    assert kinds == set(STAGE_KINDS) - {"ablate", "edges", "mask_inputs", "recycle"}  # those mend, and train little


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("    - epochs: 3", "    - epochs: 0", "9: variants.full.0.epochs: Input should be greater than or equal to 1, "
         "not 0"),
        ("    - epochs: 3", "    - {epochs: 3, seed: 1}", "9: variants.full.0.seed: unknown key; known here are kind,"),
        ("    - {kind: thin, share: 0.5, epochs: 5}", "    - {kind: thin, epochs: 5}",
         "17: variants.thin.0: a stage of kind 'thin' needs 'share'"),
        ("budget: {share: 0.5, coverage: 2}", "budget: 0.5, query: path_mass",
         "7: variants: variant 'covering': it asks query 'path_mass' of 'label'; comparisons and studies keep"),
        ("    - {kind: thin, share: 0.5, epochs: 5}", "    - epochs: 1\n    - {kind: ablate, epochs: 2, circuit: "
         "{query: top_edges}}", "7: variants: variant 'thin': a stage of kind 'ablate' asks query 'top_edges'"),
        ("variants:", "queries: []\nvariants:", "7: queries: unknown key; known here are name, description, seeds,"),
    ],
)  # fmt: skip
def test_errors_have_their_line(file: Path, before: str, after: str, expected: str):
    file.write_text(FILE.replace(before, after), encoding="utf-8")
    with pytest.raises(AttrGraphError) as raised:
        load_comparison(file)
    assert str(raised.value).startswith(f"{file}:{expected}")


def test_curves(file: Path):
    comparison = load_comparison(file)
    curves = run_comparison(comparison, (0, 1), torch.device("cpu"))
    pd.testing.assert_frame_equal(curves, pd.read_parquet(curves_path(comparison)))
    assert curves.groupby("variant", sort=False)["epoch"].agg(list).map(lambda epochs: epochs[-1]).to_dict() == {
        "full": 3, "covering": 4, "thin": 5
    }  # fmt: skip
    one = curves[curves["seed"] == 0].groupby("variant")
    # 1438 training samples; forward, weight gradients, and input gradients above the first layer.
    dense = 1438 * 2 * (2 * (64 * 32 + 32 * 16 + 16 * 10) + 32 * 16 + 16 * 10)
    assert one.get_group("full")["flops"].tolist() == [0, dense, 2 * dense, 3 * dense]
    # Half of the hidden rows and all outputs, with the half of the second layer's columns that is read below it.
    targeted = 1438 * 2 * ((64 * 32 + 32 * 16 + 16 * 10) + (64 * 16 + 32 * 8 + 16 * 10) + 32 * 16 // 2 + 16 * 10)
    covering = one.get_group("covering")
    training = covering["flops"] - covering["scoring_flops"]
    assert training.diff().tolist()[2:] == [targeted] * 3
    assert covering["scoring_flops"].diff().tolist()[1] == 0
    assert (covering["scoring_flops"].diff()[2:] > 0).all()
    thin = one.get_group("thin")["flops"].diff().tolist()[1:]
    assert all(abs(flops / targeted - 1) <= 0.01 for flops in thin)
    assert (one["accuracy"].last() > one["accuracy"].first()).all()


def test_what_was_trained_is_not_trained_again(file: Path, monkeypatch: pytest.MonkeyPatch):
    comparison = load_comparison(file)
    curves = run_comparison(comparison, (0,), torch.device("cpu"))
    console = Console(record=True, width=160, file=io.StringIO())
    with monkeypatch.context() as changed:
        changed.setattr("pipelines.variant_training.train_stage", None)
        pd.testing.assert_frame_equal(run_comparison(comparison, (0,), torch.device("cpu")), curves)
        run_comparison_file(file, [0], False, "cpu", False, console)
        with pytest.raises(TypeError, match="not callable"):
            run_comparison(comparison, (0,), torch.device("cpu"), fresh=True)
    printed = console.export_text()
    last = curves[curves["epoch"] == 3].set_index("variant")
    for variant in ("full", "covering", "thin"):
        assert f"{last.loc[variant, 'accuracy']:.4f}" in printed
        assert variant in printed
    run_comparison_file(file, [0], False, "cpu", True, console)
    assert "comparison 'both' is valid: 3 variants, seeds [0]" in console.export_text()


def test_the_table_at_equal_epochs_and_at_equal_compute():
    rows = [
        # variant a: 10 an epoch; b: 4 an epoch, of it 1 for scoring
        *[("a", seed, epoch, 0.1 * epoch + 0.2 * seed, 10 * epoch, 0) for seed in (0, 1) for epoch in range(3)],
        *[("b", seed, epoch, 0.2 * epoch, 4 * epoch, epoch) for seed in (0, 1) for epoch in range(5)],
    ]
    curves = pd.DataFrame(rows, columns=["variant", "seed", "epoch", "accuracy", "flops", "scoring_flops"])
    first, second = comparison_summary(curves).to_dict("records")
    # The shortest has 2 epochs; the cheapest spends 16 in all, at which a has had one epoch.
    assert (first["variant"], first["epochs"], first["flops"]) == ("a", 2, 16)
    assert first["accuracy_at_epochs"] == pytest.approx(0.3)
    assert first["std_at_epochs"] == pytest.approx(0.2 / 2**0.5)
    assert first["accuracy_at_flops"] == pytest.approx(0.2)
    assert (first["epochs_at_flops"], first["scoring_share"]) == (1.0, 0.0)
    assert second["accuracy_at_epochs"] == pytest.approx(0.4)
    assert second["accuracy_at_flops"] == pytest.approx(0.8)
    assert (second["epochs_at_flops"], second["scoring_share"]) == (4.0, 0.25)
