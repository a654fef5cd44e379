"""Streams of tasks: the same samples, another task each, and a row for each."""

import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.recycling.neuron_recycler import NeuronRecycler
from attrgraph_core.recycling.streams import run_stream, task_stream
from attrgraph_core.training.models import mlp

INPUTS, LABELS = torch.arange(24.0).reshape(8, 3), torch.arange(8) % 2


def test_each_task_permutes_the_inputs_in_its_own_way():
    first, second = task_stream(INPUTS, LABELS, 2, change="inputs", epochs=2, seed=4)
    for task in (first, second):
        assert len(task.labels) == 16
        assert sorted(task.inputs.flatten().tolist()) == sorted([*INPUTS.flatten().tolist()] * 2)
        assert ((task.inputs.sum(dim=1) - 3) / 9 % 2 == task.labels).all()  # a sample keeps its label
    assert not torch.equal(first.inputs.sort(dim=0).values, second.inputs.sort(dim=0).values)


def test_each_task_draws_other_labels():
    first, second = task_stream(INPUTS, LABELS, 2, change="labels", epochs=1, seed=4)
    by_sample = [dict(zip(task.inputs[:, 0].tolist(), task.labels.tolist(), strict=True)) for task in (first, second)]
    assert by_sample[0] != by_sample[1]
    assert all(sum(labels.values()) == 4 for labels in by_sample)


def test_a_stream_has_a_row_a_task_and_repeats_by_its_seed():
    tables = []
    for _ in range(2):
        torch.manual_seed(0)
        model = mlp((3,), 2, [8])
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        recycler = NeuronRecycler(model, optimizer, rate=0.125, every=2, grace=0, cap=0.2)
        tasks = task_stream(INPUTS / 24, LABELS, 3, change="inputs", epochs=4, seed=0)
        tables.append(run_stream(model, optimizer, tasks, recycler, batch_size=4))
    assert tables[0].equals(tables[1])
    assert tables[0]["task"].tolist() == [1, 2, 3]
    assert tables[0]["renewed"].tolist() == [4, 8, 12]
    assert tables[0]["accuracy"].between(0, 1).all()
    assert (tables[0]["weight_size"] > 0).all()


def test_what_is_no_stream_is_refused():
    with pytest.raises(AttrGraphError, match="unknown change 'weather'; what changes from task to task is inputs or"):
        next(task_stream(INPUTS, LABELS, 2, change="weather", epochs=1, seed=0))
    with pytest.raises(AttrGraphError, match="count is 0"):
        next(task_stream(INPUTS, LABELS, 0, change="inputs", epochs=1, seed=0))
