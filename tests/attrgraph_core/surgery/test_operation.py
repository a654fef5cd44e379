"""A backdoor is found, removed and undone; what else would have done as well is said."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.failure_edges import blamed_inputs, failure_edges, failure_graphs
from attrgraph_core.surgery.operation import operate
from attrgraph_core.surgery.outcome import Outcome, classes_of
from attrgraph_core.surgery.remedies import geometric_grid
from attrgraph_core.surgery.samples import Case, Samples, load_samples
from attrgraph_core.training.weights import weights_hash
from tests.attrgraph_core.surgery.backdoor import PATCH, backdoored_network


@pytest.fixture(scope="module")
def theatre():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, case = backdoored_network()
    yield model, case.split()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def graphs(theatre):
    model, (find, _, _) = theatre
    return failure_graphs(model, find.bad, find.good)


def test_the_patchs_pixels_are_to_blame(graphs):
    inputs = blamed_inputs(*graphs)
    truth = inputs["index"].isin(PATCH)
    assert roc_auc_score(truth, inputs["blame"]) == 1.0


def test_surgery_removes_the_backdoor_and_is_undone_to_the_bit(theatre, graphs):
    model, parts = theatre
    before, classes = weights_hash(model.state_dict()), classes_of(model, parts[2])
    faulty = Outcome.of(model, parts[2], classes)
    done = operate(model, parts, failure_edges(*graphs), blamed_inputs(*graphs), steps=20)
    mended = Outcome.of(model, parts[2], classes)
    assert faulty.failure_rate > 0.9
    assert mended.failure_rate < 0.1
    assert mended.good_accuracy > faulty.good_accuracy - 0.03
    table = done.table.set_index("method")
    assert table.loc[done.method, "failure_rate"] == mended.failure_rate
    assert table.loc["unchanged", "failure_rate"] == faulty.failure_rate
    assert table.loc["random edges", "failure_rate"] > 0.5
    assert table.loc["random edges", "low"] > 0
    assert set(table.index) >= {
        "magnitude edges", "full fine-tuning", "fine-tuning with replay", "L2-SP", "EWC", "head only", "output mask",
        "input mask",
    }  # fmt: skip
    assert done.ties == tuple(name for name in table.index if "blamed" not in name and table.loc[name, "low"] <= 0)
    assert done.advice.startswith("operate" if done.is_advised else "do not operate: ")
    done.change.undo(model)
    assert weights_hash(model.state_dict()) == before


def test_where_nothing_is_to_blame_there_is_nothing_to_remove(theatre, graphs):
    model, parts = theatre
    edges = failure_edges(*graphs).assign(blame=-1.0)
    with pytest.raises(AttrGraphError, match="no edge is to blame"):
        operate(model, parts, edges, blamed_inputs(*graphs))


def test_what_does_not_fail_has_no_failure_to_explain(theatre):
    model, (find, _, _) = theatre
    with pytest.raises(AttrGraphError, match="there is no failure to explain"):
        failure_graphs(model, Samples(find.bad.inputs, classes_of(model, find)), find.good)
    with pytest.raises(AttrGraphError, match="no bad samples"):
        failure_graphs(model, find.bad.at(torch.arange(0)), find.good)


def test_the_interval_of_a_gain_by_hand():
    """Bad: 1.5 of 6 won and .5 lost, of variance (1/3 - 1/36) / 6; good: .5 won and lost, of variance (1/6) / 6."""
    one = Outcome(torch.tensor([1, 1, 0, 0]).bool(), torch.ones(4).bool(), torch.zeros(4))
    other = Outcome(torch.tensor([0, 1, 0, 0]).bool(), torch.ones(4).bool(), torch.zeros(4))
    width = 1.959964 * ((11 / 36 / 6 + 1 / 36) ** 0.5) / 2
    assert one.gain_over(other) == pytest.approx((1 / 8, 1 / 12 - width, 1 / 12 + width))


def test_a_few_samples_that_all_agree_are_no_certainty():
    right, wrong = torch.ones(3).bool(), torch.zeros(3).bool()
    one, other = Outcome(right, right, wrong), Outcome(torch.tensor([True, True, False]), right, wrong)
    assert one.gain_over(other)[1] < 0 < one.gain_over(other)[0]
    assert one.gain_over(one)[1] < 0


def test_the_grid_doubles_and_ends_at_the_most():
    assert [geometric_grid(most) for most in (0, 1, 8, 11)] == [[], [1], [1, 2, 4, 8], [1, 2, 4, 8, 11]]


def test_the_parts_of_a_case_are_disjoint_and_all_of_it():
    samples = Samples(torch.arange(20.0).unsqueeze(1), torch.arange(20))
    parts = Case(samples, samples).split(seed=1)
    assert [len(part.bad.labels) for part in parts] == [8, 6, 6]
    assert sorted(torch.cat([part.bad.labels for part in parts]).tolist()) == list(range(20))
    with pytest.raises(AttrGraphError, match="there are 9 bad samples; 10 or more"):
        Case(samples.at(torch.arange(9)), samples).split()


def test_a_file_of_samples_is_read_and_a_wrong_one_named(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, inputs=np.ones((3, 2)), labels=np.array([0, 1, 2]))
    found = load_samples(path, (2,))
    assert found.inputs.dtype == torch.float32
    assert found.labels.tolist() == [0, 1, 2]
    for shape, arrays, message in (
        ((4,), {"inputs": np.ones((3, 2)), "labels": np.arange(3)}, r"takes \(samples, 4\)"),
        ((2,), {"inputs": np.ones((3, 2))}, "no array 'labels'"),
        ((2,), {"inputs": np.ones((3, 2)), "labels": np.ones(3)}, "labels that are whole numbers"),
        ((2,), {"inputs": np.full((3, 2), "a"), "labels": np.arange(3)}, "inputs of type <U1"),
        ((1,), {"inputs": np.array([[0.0], [np.nan], [np.inf]]), "labels": np.arange(3)},
         r"not finite: sample 1 \(2 of 3 samples\)"),
        ((2,), {"inputs": np.ones((3, 2)), "labels": np.array([0, 1, 5])},
         r"not of the 3 classes, from 0: sample 2, 5 \(1 of 3 samples\)"),
        ((2,), {"inputs": np.array([[None, 1]]), "labels": np.arange(1)}, r"cannot read .* as \.npz"),
    ):  # fmt: skip
        np.savez(path, **arrays)
        with pytest.raises(AttrGraphError, match=message):
            load_samples(path, shape, class_count=3)
    path.write_text("no archive")
    with pytest.raises(AttrGraphError, match=r"is not a \.npz; numpy\.savez"):
        load_samples(path, (2,))
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(AttrGraphError, match=r"is not a \.npz"):
        load_samples(tmp_path / "one.npy", (2,))
    with pytest.raises(AttrGraphError, match="there is no file"):
        load_samples(tmp_path / "nowhere.npz", (2,))
