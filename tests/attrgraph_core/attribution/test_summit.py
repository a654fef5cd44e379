"""Counts of strongest sources: by hand, and against one graph a sample."""

from collections import Counter

import pytest
import torch
from torch import nn

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.conductance import Conductance
from attrgraph_core.attribution.summit import top_influence_counts
from tests.attrgraph_core.attribution.networks import make_network

ENDS = ["source_layer", "source_index", "target_layer", "target_index"]


def test_counts_by_hand():
    network = nn.Sequential(nn.Linear(3, 1, bias=False))
    network[0].weight.data = torch.tensor([[1.0, -2.0, 3.0]])
    # shares of the score: (1, -2, 3), (5, -2, 0), (1, -8, 3)
    inputs = torch.tensor([[1.0, 1.0, 1.0], [5.0, 1.0, 0.0], [1.0, 4.0, 1.0]])
    batches = [(inputs[:2], [0, 0]), (inputs[2:], torch.zeros(1, dtype=torch.int32))]
    counts = top_influence_counts(network, batches, k=2)
    assert counts.set_index("source_index")["count"].to_dict() == {0: 1, 1: 3, 2: 2}
    assert top_influence_counts(network, batches, k=3)["count"].tolist() == [3, 3, 2]


@pytest.mark.parametrize("name", ["MLP", "residual CNN", "text CNN", "text encoder"])
def test_counts_are_those_of_a_graph_a_sample(name):
    network, inputs, labels = (part if index == 0 else part[:4] for index, part in enumerate(make_network(name)))
    found = top_influence_counts(network, [(inputs, labels)], k=2)
    expected: Counter[tuple[object, ...]] = Counter()
    for sample, label in zip(inputs, labels.tolist(), strict=True):
        edges = attribute(network, sample[None], label).edges
        for _, rows in edges.groupby(["target_layer", "target_index"]):
            strongest = rows[rows.abs_weight > 0].nlargest(2, "abs_weight")
            expected.update((label, *row) for row in strongest[ENDS].itertuples(index=False, name=None))
    assert (
        dict(zip(found[["class", *ENDS]].itertuples(index=False, name=None), found["count"], strict=True)) == expected
    )


def test_attributions_that_miss_much_of_the_score_are_not_counted():
    network, inputs, labels = make_network("smooth MLP")
    steps = Conductance(steps=1)
    with pytest.raises(AttrGraphError, match=r"conductance attributions of target label miss \d+\.\d\d% of the score"):
        attribute(network, 9 * inputs, labels, method=steps)
    with pytest.raises(AttrGraphError, match=r"conductance attributions of target label miss \d+\.\d\d% of the score"):
        top_influence_counts(network, [(9 * inputs, labels)], method=steps)


def test_a_method_with_a_background_asks_for_it():
    network, inputs, labels = make_network("MLP")
    with pytest.raises(AttrGraphError, match="deepshap needs a background set of 2 inputs or more"):
        top_influence_counts(network, [(inputs, labels)], method="deepshap")
    assert len(top_influence_counts(network, [(inputs, labels)], method="deepshap", baseline=inputs[:2]))


def test_bad_input_is_named():
    network, inputs, labels = make_network("MLP")
    for k in (0, 2.5, "2", True):
        with pytest.raises(AttrGraphError, match=f"k is {k!r}; it is a whole number of sources, from 1 on"):
            top_influence_counts(network, [(inputs, labels)], k=k)
    with pytest.raises(AttrGraphError, match="target 3 is outside"):
        top_influence_counts(network, [(inputs, labels + 1)])
    with pytest.raises(AttrGraphError, match="there are no samples"):
        top_influence_counts(network, [])
    with pytest.raises(AttrGraphError, match="the inputs hold values that are not finite"):
        top_influence_counts(network, [(inputs / 0, labels)])
