"""Ablation by hand, against the function with means in place, and back bit for bit."""

from collections import OrderedDict

import pandas as pd
import pytest
import torch
from torch import nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.surgery.ablate import ablate
from attrgraph_core.surgery.mask_inputs import mask_inputs
from attrgraph_core.surgery.weight_change import WeightChange, copy_of
from attrgraph_core.surgery.weight_entries import EDGE_ENDS, WeightEntries
from attrgraph_core.training.weights import weights_hash


def edges(*rows):
    return pd.DataFrame(rows, columns=list(EDGE_ENDS))


@pytest.fixture
def mlp():
    """h = relu(x0 + 2 x1, -x0 + x1 + 1), output = (3 h0 - h1, h1 + .5)"""
    network = nn.Sequential(OrderedDict(fc1=nn.Linear(2, 2), relu=nn.ReLU(), output=nn.Linear(2, 2))).double()
    network.load_state_dict(
        {
            "fc1.weight": torch.tensor([[1.0, 2.0], [-1.0, 1.0]]), "fc1.bias": torch.tensor([0.0, 1.0]),
            "output.weight": torch.tensor([[3.0, -1.0], [0.0, 1.0]]), "output.bias": torch.tensor([0.0, 0.5]),
        }
    )  # fmt: skip
    return network


@pytest.fixture
def cnn():
    torch.manual_seed(0)
    layers = OrderedDict(
        conv1=nn.Conv2d(1, 4, 3, padding=1), relu=nn.ReLU(), conv2=nn.Conv2d(4, 6, 3, padding=1, groups=2),
        norm=nn.BatchNorm2d(6), relu2=nn.ReLU(), flatten=nn.Flatten(), output=nn.Linear(6 * 16, 3),
    )  # fmt: skip
    return nn.Sequential(layers).double()


INPUTS = torch.tensor([[1.0, 0.0], [0.0, 2.0], [2.0, 1.0]]).double()


def test_a_removed_edge_is_zero_and_the_bias_takes_its_mean(mlp):
    """Over INPUTS x1 is 1 on average, times weight 2; h1 is 0, 3, 0: 1 on average, times weight -1."""
    ablate(mlp, edges(("input", 1, "fc1", 0), ("fc1", 1, "output", 0)), INPUTS)
    assert mlp.fc1.weight.tolist() == [[1.0, 0.0], [-1.0, 1.0]]
    assert mlp.fc1.bias.tolist() == [2.0, 1.0]
    assert mlp.output.weight.tolist() == [[3.0, 0.0], [0.0, 1.0]]
    assert mlp.output.bias.tolist() == [-1.0, 0.5]


def test_without_compensation_biases_stay(mlp):
    ablate(mlp, edges(("input", 1, "fc1", 0)), INPUTS, compensate=False)
    assert mlp.fc1.bias.tolist() == [0.0, 1.0]


def test_a_removed_neuron_stays_at_its_mean_or_at_zero(mlp):
    """fc1/0 sums up 1, 4 and 4."""
    change = ablate(mlp, {"fc1": [0]}, INPUTS)
    assert mlp.fc1(INPUTS)[:, 0].tolist() == [3.0, 3.0, 3.0]
    change.undo(mlp)
    mlp.fc1.bias.data[0] = 7.0
    ablate(mlp, {"fc1": [0]}, INPUTS, compensate=False)
    assert mlp.fc1(INPUTS)[:, 0].tolist() == [0.0, 0.0, 0.0]


def test_the_mean_output_of_a_layer_stays_what_it_was(cnn):
    images = torch.randn(5, 1, 4, 4).double()
    cnn.eval()
    before = cnn[:3](images).mean(dim=(0, 2, 3))
    ablate(cnn, edges(("conv1", 0, "conv2", 1), ("conv1", 3, "conv2", 5), ("conv1", 2, "conv2", 5)), images)
    torch.testing.assert_close(cnn[:3](images).mean(dim=(0, 2, 3)), before)
    assert int((cnn.conv2.weight == 0).sum()) == 27


def test_a_layer_that_sees_sequences_takes_the_mean_over_their_places():
    torch.manual_seed(1)
    tokens = nn.Sequential(OrderedDict(fc1=nn.Linear(3, 4), relu=nn.ReLU(), fc2=nn.Linear(4, 4))).double()
    inputs = torch.randn(6, 5, 3).double()
    before = tokens(inputs).mean(dim=(0, 1))
    ablate(tokens, WeightEntries({"fc2.weight": torch.tensor([0, 5, 6])}), inputs)
    torch.testing.assert_close(tokens(inputs).mean(dim=(0, 1)), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_undo_is_exact_to_the_bit_through_a_file(cnn, tmp_path, dtype):
    model = cnn.to(dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        model.conv2.weight[0, 0, 0, 0] = -0.0  # a bit that comparing numbers would miss
    before = weights_hash(model.state_dict())
    images = torch.randn(3, 1, 4, 4).to(dtype)
    change = ablate(model, edges(("conv1", 0, "conv2", 0), ("conv1", 3, "conv2", 5)), images)
    assert change.count == 9 + 9 + 2
    assert weights_hash(model.state_dict()) != before
    change.save(tmp_path / "change.safetensors")
    WeightChange.load(tmp_path / "change.safetensors").undo(model)
    assert weights_hash(model.state_dict()) == before


def test_undo_refuses_weights_that_were_trained_since_and_leaves_them(mlp):
    change = ablate(mlp, edges(("input", 1, "fc1", 0)), INPUTS)
    mlp.output.bias.data[0] += 1
    now = copy_of(mlp)
    with pytest.raises(AttrGraphError, match="not those that the operation left"):
        change.undo(mlp)
    assert all(torch.equal(value, now[name]) for name, value in mlp.state_dict().items())


def test_a_file_of_weights_is_no_change(mlp, tmp_path):
    from attrgraph_core.training.weights import save_weights

    save_weights(tmp_path / "weights.safetensors", mlp.state_dict())
    with pytest.raises(AttrGraphError, match="no change of weights"):
        WeightChange.load(tmp_path / "weights.safetensors")


def test_bad_input_is_refused_before_anything_changes(mlp):
    mlp.fc1.register_parameter("bias", None)
    before = copy_of(mlp)
    with pytest.raises(AttrGraphError, match="'fc1' has no bias to take over"):
        ablate(mlp, edges(("fc1", 1, "output", 0), ("input", 1, "fc1", 0)), INPUTS)
    with pytest.raises(AttrGraphError, match="no inputs to take mean contributions over"):
        ablate(mlp, WeightEntries({"output.weight": torch.tensor([0])}), INPUTS[:0])
    with pytest.raises(AttrGraphError, match="no neuron 9"):
        ablate(mlp, {"fc1": [9]}, INPUTS)
    with pytest.raises(AttrGraphError, match=r"no parameter 'fc9\.weight'; it has fc1\.weight"):
        ablate(mlp, WeightEntries({"fc9.weight": torch.tensor([0])}), INPUTS, compensate=False)
    assert all(torch.equal(value, before[name]) for name, value in mlp.state_dict().items())


def test_masked_inputs_are_those_of_the_reference_and_the_same_as_removed_edges(mlp):
    expected = mlp(torch.tensor([[1.0, 5.0], [0.0, 5.0], [2.0, 5.0]]).double())
    handle = mask_inputs(mlp, [1], torch.tensor([9.0, 5.0]))
    assert torch.equal(mlp(INPUTS), expected)
    handle.remove()
    by_mean = mlp(torch.stack([INPUTS[:, 0], INPUTS[:, 1].mean().expand(3)], dim=1))
    ablate(mlp, WeightEntries.out_of(mlp, INPUTS, [1]), INPUTS)
    torch.testing.assert_close(mlp(INPUTS), by_mean)
    with pytest.raises(AttrGraphError, match="neurons 0 to 1, no neuron 2"):
        mask_inputs(mlp, [2], INPUTS[0])
