"""The stages of an experiment trained one after another, without Dagster and without a store, their costs counted.

Compute is counted: FLOPs of forward and backward of every step, and of every score that neurons were chosen by, the
graph among them. Seconds are those of steps and of scoring; evaluation is in neither.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from attrgraph_core.attribution.attribute import attribute
from attrgraph_core.targeting.history import updated_history
from attrgraph_core.targeting.optimizer_archive import OptimizerArchive
from attrgraph_core.targeting.policies import policy_needs
from attrgraph_core.targeting.scores import needs_source
from attrgraph_core.training.counted_flops import counted_flops
from attrgraph_core.training.data import TrainingData
from attrgraph_core.training.stage import EpochRecord, train_stage
from pipelines.attribution_sample import baseline_of, sample_of
from pipelines.circuit_run import choose_of, scored_candidates
from pipelines.experiments import Experiment, Selection
from pipelines.stage_kind import settings_of, stop_condition, way_of_training

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class VariantEpoch:
    """The network after an epoch, counted from 0 (before any step) over all stages.

    `flops` and `seconds` are those spent so far, `scoring_flops` and `scoring_seconds` the part of them that choosing
    neurons took. `state` is a copy of its state dict, on the CPU.
    """

    epoch: int
    stage: int
    kind: str
    record: EpochRecord
    flops: int
    scoring_flops: int
    seconds: float
    scoring_seconds: float
    state: "dict[str, Tensor]"


def train_variant(
    experiment: Experiment,
    model: "nn.Module",
    data: "TrainingData | Callable[[int], TrainingData]",
    seed: int,
    device: "torch.device | None" = None,
    is_done: Callable[[VariantEpoch], bool] = lambda _: False,
) -> Iterator[VariantEpoch]:
    """The epochs of all stages, as an experiment would train them, `model` in place; a stage's come at its end.

    `data` may differ from stage to stage (from 1); neurons are chosen by those of the stage before. Ends with the epoch
    that `is_done` says so of. Raises as `train_stage`.
    """
    data_of = data if callable(data) else lambda _: data
    archive, history = OptimizerArchive(), None
    costs = _Costs()
    for position, stage in enumerate(experiment.stages, start=1):
        own, chosen = data_of(position), None
        if stage.select is not None:
            started = time.perf_counter()
            before_it = data_of(position - 1)
            chosen, flops = _choose(experiment, stage.select, model, before_it, history, seed, position)
            costs.add_scoring(flops, time.perf_counter() - started)
        way = way_of_training(stage, model, own, seed, chosen)
        before = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        epochs = _StageEpochs(costs, position, stage.kind, is_done, stop_condition(experiment, stage, own))
        train_stage(
            model, own, settings_of(experiment, stage, model, way.neuron_set), neuron_set=way.neuron_set, seed=seed,
            stage=position, device=device, archive=archive, make_peer=way.make_peer, on_epoch=epochs.keep,
            is_done=epochs.ends,
        )  # fmt: skip
        trained = way.neuron_set.neurons if way.neuron_set else None
        history = updated_history(history, before, model.cpu().state_dict(), trained, position)
        yield from epochs.kept
        if epochs.is_last:
            return


class _Costs:
    def __init__(self) -> None:
        self.epoch = -1
        self.flops = self.scoring_flops = 0
        self.seconds = self.scoring_seconds = 0.0

    def add_scoring(self, flops: int, seconds: float) -> None:
        self.flops, self.scoring_flops = self.flops + flops, self.scoring_flops + flops
        self.seconds, self.scoring_seconds = self.seconds + seconds, self.scoring_seconds + seconds


class _StageEpochs:
    """The epochs of one stage, and whether it, or the whole training, ends with the last of them."""

    def __init__(
        self, costs: _Costs, stage: int, kind: str, is_done: Callable[[VariantEpoch], bool],
        stops: "Callable[[nn.Module], bool] | None",
    ) -> None:  # fmt: skip
        self.costs, self.stage, self.kind, self.is_done, self.stops = costs, stage, kind, is_done, stops
        self.kept: list[VariantEpoch] = []
        self.is_last = False

    def keep(self, record: EpochRecord, state: "dict[str, Tensor]") -> None:
        if record.epoch == 0 and self.stage > 1:
            return  # the end of the stage before
        costs = self.costs
        costs.epoch += 1
        costs.flops += record.flops
        costs.seconds += record.seconds
        self.kept.append(
            VariantEpoch(
                costs.epoch, self.stage, self.kind, record, costs.flops, costs.scoring_flops, costs.seconds,
                costs.scoring_seconds, state,
            )
        )  # fmt: skip

    def ends(self, model: "nn.Module") -> bool:
        self.is_last = self.is_done(self.kept[-1])
        return self.is_last or (self.stops is not None and self.stops(model))


def _choose(
    experiment: Experiment, selection: Selection, model: "nn.Module", data: TrainingData, history: pd.DataFrame | None,
    seed: int, position: int,
) -> tuple[dict[str, tuple[int, ...]], int]:  # fmt: skip
    """The neurons of a targeted stage, and the FLOPs of choosing them; the graph is made only where it is asked."""
    found, flops = pd.DataFrame({"layer": [], "index": [], "influence": []}), 0
    if needs_source(policy_needs(selection.policy), "graph"):
        inputs, labels = sample_of(experiment, data)
        with counted_flops() as counted:
            graph = attribute(
                model.eval(), inputs, labels, method=experiment.attribution.method,
                baseline=baseline_of(experiment, inputs),
            )  # fmt: skip
        # As query neuron_influence: of all outgoing edges.
        found = graph.edges.groupby(["source_layer", "source_index"])["abs_weight"].sum().reset_index()
        found.columns = pd.Index(["layer", "index", "influence"])
        flops = counted.flops
    candidates, scoring = scored_candidates(experiment, selection, model.eval(), data, found, history, position)
    chosen = choose_of(selection, candidates, model, data, seed=seed, stage=position)
    return chosen.neurons, flops + scoring
