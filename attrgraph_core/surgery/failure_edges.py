"""Edges and input neurons to blame for a failure: what carries it and is not needed otherwise.

Two graphs of one network: of the failing samples for the margin of the wrong over the right logit, and of good samples
for the margin of the right over the strongest other logit; both relative to the good samples. An edge's blame is its
signed share of the former less its absolute share of the latter, within all edges into its layer; an input neuron's
likewise. Queries `failure_edges` and `blamed_inputs` ask the same of two stored graphs.
"""

from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.attribute import attribute
from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.attribution_graph import AttributionGraph
from attrgraph_core.surgery.weight_entries import EDGE_ENDS

FAILURE, SUCCESS = "failure", "success"  # targets of the two graphs
BATCH_SIZE = 512


def failure_graphs(
    model: nn.Module, bad: tuple[Tensor, Tensor], good: tuple[Tensor, Tensor], *, method: str = "deeplift"
) -> tuple[AttributionGraph, AttributionGraph]:
    """The graphs, of targets `failure` and `success`, of samples (inputs, labels) that fail and that do not.

    Of `bad` those that the network takes for another class count, of `good` those that it does not. The baseline is the
    mean of the good inputs. Raises AttrGraphError where there are none of these, else as `attribute`.
    """
    bad_inputs, wrong_less_right = _margins(model, *bad, fails=True)
    good_inputs, right_less_other = _margins(model, *good, fails=False)
    baseline = good_inputs.mean(dim=0)
    failure = attribute(model, bad_inputs, wrong_less_right, method=method, baseline=baseline)
    success = attribute(model, good_inputs, right_less_other, method=method, baseline=baseline)
    return replace(failure, target=FAILURE), replace(success, target=SUCCESS)


def failure_edges(failure: AttributionGraph, success: AttributionGraph) -> pd.DataFrame:
    """Every edge, the most to blame first: its ends, blame, failure_share (signed), success_share (absolute)."""
    ends = list(EDGE_ENDS)
    found = _shares(failure.edges, "weight", "target_layer", ends, "failure_share").merge(
        _shares(success.edges, "abs_weight", "target_layer", ends, "success_share"), on=ends, how="outer"
    )
    found = found.fillna({"failure_share": 0.0, "success_share": 0.0})
    found["blame"] = found["failure_share"] - found["success_share"]
    columns = [*ends, "blame", "failure_share", "success_share"]
    return found[columns].sort_values(["blame", *ends], ascending=[False] + [True] * 4, ignore_index=True)


def blamed_inputs(failure: AttributionGraph, success: AttributionGraph) -> pd.DataFrame:
    """Every input neuron, the most to blame first: layer, index, blame, failure_share, success_share."""
    tables = [
        _shares(graph.neurons[graph.neurons["kind"] == "input"], column, "layer", ["layer", "index"], share)
        for graph, column, share in (
            (failure, "attribution", "failure_share"), (success, "abs_attribution", "success_share")
        )
    ]  # fmt: skip
    found = tables[0].merge(tables[1], on=["layer", "index"])
    found["blame"] = found["failure_share"] - found["success_share"]
    columns = ["layer", "index", "blame", "failure_share", "success_share"]
    return found[columns].sort_values(["blame", "index"], ascending=[False, True], ignore_index=True)


def _shares(table: pd.DataFrame, column: str, layer: str, ends: list[str], name: str) -> pd.DataFrame:
    totals = table[column].abs().groupby(table[layer]).transform("sum")
    return table[ends].assign(**{name: (table[column] / totals).where(totals > 0, 0.0)})


def scores_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits (samples, classes) in evaluation mode."""
    with evaluation_mode(model), torch.no_grad():
        return torch.cat([model(batch) for batch in inputs.split(BATCH_SIZE)])


def _margins(model: nn.Module, inputs: Tensor, labels: Tensor, fails: bool) -> tuple[Tensor, Tensor]:
    """The samples that fail, or do not, and the weights of their margin: wrong less right, or right less next."""
    if len(inputs) != len(labels):
        raise AttrGraphError(f"{len(inputs)} inputs have {len(labels)} labels; each needs one")
    if not len(inputs):
        raise AttrGraphError(f"there are no {'bad' if fails else 'good'} samples")
    scores = scores_of(model, inputs)
    if int(labels.min()) < 0 or int(labels.max()) >= scores.shape[1]:
        raise AttrGraphError(f"labels go from {int(labels.min())} to {int(labels.max())}; the network has "
                             f"{scores.shape[1]} classes, from 0")  # fmt: skip
    rows = torch.arange(len(labels))
    own = scores[rows, labels].clone()
    scores[rows, labels] = -torch.inf
    other, rival = scores.max(dim=1)
    counts = (other > own) if fails else (other <= own)
    if not bool(counts.any()):
        raise AttrGraphError(
            "the network gets every bad sample right: there is no failure to explain"
            if fails
            else "the network gets every good sample wrong: there is nothing to keep"
        )
    sign = -1.0 if fails else 1.0
    weights = torch.zeros_like(scores)
    weights[rows, labels], weights[rows, rival] = sign, -sign
    return inputs[counts], weights[counts]
