"""Every study's question on real data, in small; what must hold of its figures whatever they are."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.study.held_out import HeldOut, study_data
from attrgraph_core.training.data import load_data
from pipelines.questions import QUESTIONS
from pipelines.questions.forgetting import _data_of, _orders
from pipelines.questions.question import Task
from pipelines.study_cells import StudyGrid
from pipelines.study_file import load_study

STUDIES = Path(__file__).parents[3] / "studies"
SMALL = {"continual": {"tasks": 4, "epochs": 1}, "forgetting": {"tasks": 3}, "interpretability": {"samples": 24},
         "label_noise": {"full_epochs": 4}, "efficiency": {"full_epochs": 4}, "limits": {"full_epochs": 4},
         "repair": {"steps": 20}, "robustness": {"target": 0.6}}  # fmt: skip


def task_of(study: str, method: str, **settings: Any) -> tuple[StudyGrid, Task, HeldOut]:
    """A task of a study that comes with the project, on half of its samples, and the held-out ones."""
    quick = load_study(STUDIES / f"{study}.yaml").as_quick()
    changed = quick.model_copy(update={"options": {**quick.options, **SMALL[quick.question]}})
    grid = StudyGrid(changed)
    data = "digits" if "digits" in changed.data else next(iter(changed.data))
    parts = study_data(load_data(data))
    task = Task(
        parts.working, changed.data[data].model, changed.training, grid.options, grid.methods[method], settings, 3
    )
    return grid, task, parts.test.open()


def figures(study: str, method: str, **settings: Any) -> dict[str, float]:
    grid, task, held_out = task_of(study, method, **settings)
    trained = grid.question.train(task)
    found = {**trained.measures, **grid.question.measure(task, trained, held_out)}
    assert {measure.name for measure in grid.question.measures} <= found.keys()
    return found


def test_each_question_has_a_study():
    assert {load_study(path).question for path in STUDIES.glob("*.yaml")} == set(QUESTIONS)


def test_efficiency_stays_within_the_compute():
    full = figures("efficiency", "full", learning_rate=0.01)
    targeted = figures("efficiency", "top_influence", learning_rate=0.01, budget=0.25)
    assert full["epochs"] == 4
    assert full["scoring_share"] == 0.0
    assert targeted["gflops"] <= full["gflops"]
    assert targeted["scoring_share"] > 0.1
    assert targeted["seconds"] > 0
    assert 0.5 < targeted["accuracy"] <= 1


def test_a_method_whose_first_epoch_is_too_dear_fails_by_name():
    grid, task, _ = task_of("efficiency", "full")
    dear = task.method.model_copy(update={"training": {"batch_size": 1}})
    options = task.options.model_copy(update={"full_epochs": 0})
    with pytest.raises(AttrGraphError, match=r"the first epoch takes more than the 0\.000 GFLOPs"):
        grid.question.train(Task(task.data, task.model, task.training, options, dear, {}, 0))


def test_label_noise_stops_early_where_validation_is_best():
    last = figures("label_noise", "full", learning_rate=0.01)
    early = figures("label_noise", "full_early", learning_rate=0.01)
    assert early["epochs"] <= last["epochs"] == 4
    assert 0 <= last["noise_fitted"] <= 1


def test_robustness_is_measured_at_the_target_and_attacks_only_take():
    found = figures("robustness", "full", learning_rate=0.004)
    assert found["pgd"] <= found["fgsm"] <= found["accuracy"]
    assert found["corrupted"] <= found["accuracy"] + 0.02
    assert math.isnan(found["ensemble"])
    grid, task, _ = task_of("robustness", "full")
    options = task.options.model_copy(update={"target": 1.0})
    stages = type(task.method).model_validate({"stages": [{"epochs": 1}]})
    with pytest.raises(AttrGraphError, match=r"validation accuracy came to 0\.\d+, and not to 1.0"):
        grid.question.train(Task(task.data, task.model, task.training, options, stages, {}, 0))


def test_an_ensemble_that_is_not_installed_is_named_before_any_training(monkeypatch):
    study = load_study(STUDIES / "robustness.yaml")
    assert StudyGrid(study).options.ensemble
    monkeypatch.setitem(sys.modules, "art", None)
    with pytest.raises(AttrGraphError, match=r"robustness\.yaml:15: .*pip install 'attrgraph\[robustness\]'"):
        StudyGrid(study)
    assert not StudyGrid(study.as_quick()).options.ensemble


def test_repair_of_a_backdoor():
    before, after = figures("backdoor", "unchanged"), figures("backdoor", "blamed_edges")
    assert before["failure_rate"] > 0.9
    assert before["balance"] == pytest.approx((before["bad_accuracy"] + before["good_accuracy"]) / 2)
    assert (before["edges"], before["changed_weights"]) == (0.0, 0.0)
    assert before["inputs_auroc"] == after["inputs_auroc"] == 1.0  # the patch is found
    assert after["failure_rate"] < 0.2
    assert after["edges"] >= 1
    blind = figures("backdoor", "blamed_edges_blind")
    assert blind["edges"] > 0
    for remedy in ("blamed_edges_tuned", "magnitude_edges", "replay", "output_mask", "input_mask"):
        assert figures("backdoor", remedy)["failure_rate"] < before["failure_rate"]


def test_repair_at_positions_of_an_unrolled_network():
    found = {method: figures("backdoor_positions", method) for method in ("unchanged", "blamed_positions")}
    assert found["unchanged"]["failure_rate"] > 0.9
    assert found["blamed_positions"]["failure_rate"] < 0.3
    assert found["blamed_positions"]["good_accuracy"] > found["unchanged"]["good_accuracy"] - 0.1


@pytest.mark.parametrize("study", ["shortcut", "sensors"])
def test_repair_of_other_faults(study: str):
    before = figures(study, "unchanged")
    assert before["bad_accuracy"] < before["good_accuracy"]
    assert figures(study, "input_mask")["bad_accuracy"] > before["bad_accuracy"]


def test_continual_streams():
    plain, recycled = figures("continual_inputs", "plain"), figures("continual_inputs", "influence", rate=0.05)
    assert (plain["renewed"], plain["lost"]) == (0.0, pytest.approx(plain["early"] - plain["late"]))
    assert recycled["renewed"] > 0
    assert 0 < plain["held_out"] <= 1
    assert math.isnan(figures("continual_labels", "plain")["held_out"])


def test_forgetting_replays_what_it_says():
    _, task, _ = task_of("forgetting", "replay")
    orders, data = _orders(task), task.data
    kept = round(0.05 * len(data.train_labels))
    third = _data_of(task, orders)(3)
    assert len(third.train_labels) == len(data.train_labels) + 2 * kept
    assert torch.equal(third.train_inputs[: len(data.train_labels)], data.train_inputs[:, orders[2]])
    assert torch.equal(orders[0], torch.arange(64))
    replayed = third.train_inputs[len(data.train_labels) :]
    assert torch.equal(replayed[kept:][:, orders[1].argsort()], replayed[:kept])


def test_forgetting_less_by_replay():
    plain = figures("forgetting", "full", learning_rate=0.003)
    replay = figures("forgetting", "replay", learning_rate=0.003)
    assert replay["forgetting"] < plain["forgetting"]
    # Mean over tasks of what was learnt, less what was lost of all but the last, is what is left.
    assert plain["accuracy"] == pytest.approx(plain["learnt"] - plain["forgetting"] * 2 / 3)
    assert figures("forgetting", "least_influence", learning_rate=0.001)["scoring_share"] > 0


def test_interpretability():
    found = figures("interpretability", "top_influence", learning_rate=0.004)
    assert found["cpr"] + found["cmd"] >= 0.999 - 1e-6  # equal where no circuit does more than the network
    assert -1 <= found["seed_stability"] <= 1
    assert 0 <= found["sample_stability"] <= 1


def test_limits_of_back_propagation():
    found = {method: figures("limits", method, learning_rate=0.0003) for method in ("backpropagation", "drtp")}
    found["truncated"] = figures("limits", "truncated", learning_rate=0.003)
    # Nine layers: the topmost waits for none, the lowest for eight. Three on top wait for none, one and two.
    assert [found[name]["waits_for"] for name in found] == [4.0, 0.0, 1.0]
    assert found["truncated"]["trained_layers"] == pytest.approx(1 / 3)
    assert 0 < found["backpropagation"]["growth_at_start"] < 1  # the signal vanishes on its way down


def test_limits_of_chosen_neurons_are_refused_before_any_training():
    study = load_study(STUDIES / "limits.yaml").as_quick()
    study.methods["truncated"]["stages"] = [{"epochs": 1}, {"epochs": 1, "select": {"policy": "random", "budget": 0.5}}]
    with pytest.raises(AttrGraphError, match=r"methods\.truncated\.stages: the last stage chooses neurons"):
        StudyGrid(study)
