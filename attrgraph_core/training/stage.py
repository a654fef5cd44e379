"""One stage of training: the whole network, the neurons of a set and nothing else, or by another way (`peers`).

With an archive a neuron's optimizer state (momentum, Adam's moments and count of steps) outlives the stage: selected
again, the neuron goes on where it was.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.peer import Peer
from attrgraph_core.surgery.target_edges import TargetedEdges, target_edges
from attrgraph_core.surgery.weight_entries import WeightEntries
from attrgraph_core.targeting.neuron_set import NeuronSet
from attrgraph_core.targeting.optimizer_archive import OptimizerArchive
from attrgraph_core.targeting.target_neurons import TargetedModel, target_neurons, targetable_layers
from attrgraph_core.training.counted_flops import counted_flops
from attrgraph_core.training.data import TrainingData
from attrgraph_core.training.reproducibility import derive_seed, seeded

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "constant")
EVALUATION_BATCH_SIZE = 1024
EXPLODED = 100.0  # times the loss that the stage began with, or 1 where that is more


@dataclass(frozen=True)
class TrainingSettings:
    """How a stage is trained. Raises AttrGraphError naming the value that is outside its range.

    `learning_rate` is that of the first step; `cosine` lets it fall to 0 after the last, step by step. `weight_decay`
    is AdamW's decoupled one, or SGD's L2 term; `momentum` is SGD's alone.
    """

    epochs: int
    learning_rate: float
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    momentum: float = 0.9
    batch_size: int = 64
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise AttrGraphError(f"unknown optimizer {self.optimizer!r}; known are {', '.join(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise AttrGraphError(f"unknown schedule {self.schedule!r}; known are {', '.join(SCHEDULES)}")
        for name, count in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise AttrGraphError(f"{name} is {count!r}, not a whole number from 1 on")
        if not (_is_number(self.learning_rate) and 0 < self.learning_rate < math.inf):
            raise AttrGraphError(f"learning_rate is {self.learning_rate!r}, not a number above 0")
        if not (_is_number(self.weight_decay) and 0 <= self.weight_decay < math.inf):
            raise AttrGraphError(f"weight_decay is {self.weight_decay!r}, not a number from 0 on")
        if not (_is_number(self.momentum) and 0 <= self.momentum < 1):
            raise AttrGraphError(f"momentum is {self.momentum!r}, not a number from 0 to below 1")

    def learning_rate_at(self, step: int, step_count: int) -> float:
        """The rate of step `step` (from 0) of `step_count`."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / step_count))


@dataclass(frozen=True)
class EpochRecord:
    """The network at the end of one epoch; epoch 0 is before any step.

    `loss` (mean cross entropy) and `train_accuracy` are over the training set, `accuracy` over the test set, both in
    [0, 1]; all three are of the very weights that the epoch ends with, in evaluation mode. `learning_rate` is that of
    the epoch's first step (0 in epoch 0), and `seconds` the time its steps took, without evaluation and saving. `flops`
    are those of its steps, forward and backward: of the first one counted, of the others in proportion to samples.
    """

    epoch: int
    loss: float
    accuracy: float
    train_accuracy: float
    learning_rate: float
    seconds: float
    flops: int


@dataclass(frozen=True)
class StageResult:
    """A stage's epochs, from 0 on, and what of the network it trained. Weights include biases.

    `stopped_early` says that `is_done` ended it before its last epoch.
    """

    epochs: tuple[EpochRecord, ...]
    trained_neurons: int
    neuron_count: int
    trained_weights: int
    weight_count: int
    stopped_early: bool = False


OnEpoch = Callable[[EpochRecord, dict[str, Tensor]], None]


def train_stage(
    model: nn.Module,
    data: TrainingData,
    settings: TrainingSettings,
    *,
    neuron_set: NeuronSet | None = None,
    entries: WeightEntries | None = None,
    seed: int,
    stage: int,
    device: torch.device | None = None,
    on_epoch: OnEpoch | None = None,
    archive: OptimizerArchive | None = None,
    make_peer: Callable[[nn.Module], Peer] = Peer,
    is_done: Callable[[nn.Module], bool] | None = None,
) -> StageResult:
    """Train `model` in place on cross entropy: in full, only the neurons of `neuron_set`, or only weight `entries`.

    `on_epoch(record, state)` is called before the first step (epoch 0) and after each epoch; `state` is a copy of the
    whole state dict, on the CPU, under the model's ordinary names. The order of the samples and what dropout draws
    depend on (seed, stage) alone, so that on one CPU a stage repeats bit for bit; PyTorch's random state is as before.
    The model ends on `device` in the mode it came in. The optimizer goes on from the state that `archive` has of the
    neurons it trains, and at the end the archive has the new one (of entries it has none); where a weight trains as a
    whole and its neurons took different numbers of steps before, it begins anew.
    `make_peer` gives another way of training the whole network. `is_done(model)` is asked after each epoch, and ends
    the stage where it says so; the schedule is that of all epochs.
    Raises AttrGraphError, before any step, for neurons that the network cannot train (see `target_neurons`); and,
    naming stage, epoch, step and learning rate, as soon as a loss is NaN, infinite or a hundred times that of the
    stage's begin: then the model is back at the end of its last good epoch, and the archive as it was.
    """
    device = device or torch.device("cpu")
    random_seed = derive_seed(seed, stage)
    with ExitStack() as stack:
        model.to(device)
        targeted: TargetedModel | TargetedEdges | None = None
        if entries is not None:
            targeted, archive = stack.enter_context(target_edges(model, entries)), None
        elif neuron_set is not None:
            targeted = stack.enter_context(target_neurons(model, neuron_set.neurons, archive=archive))
        else:
            _check_trains_in_full(model, settings)
        for module, training in [(module, module.training) for module in model.modules()]:
            stack.callback(setattr, module, "training", training)
        stack.enter_context(seeded(random_seed, device))
        peer = stack.enter_context(make_peer(model))
        run = _StageRun(model, targeted, peer, data, settings, stage, device, random_seed)
        if archive is not None:
            assert not isinstance(targeted, TargetedEdges)
            archive.restore(targeted or model, run.optimizer, mixed_begin_anew=targeted is None)
        records: list[EpochRecord] = []
        for epoch in range(settings.epochs + 1):
            records.append(run.epoch(epoch))
            if on_epoch is not None:
                on_epoch(records[-1], run.good_state)
            if epoch and is_done is not None and is_done(model):
                break
        if archive is not None:
            assert not isinstance(targeted, TargetedEdges)
            archive.keep(targeted or model, run.optimizer)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    neuron_count = sum(len(layer.weight) for layer in targetable_layers(model).values())
    return StageResult(
        epochs=tuple(records),
        trained_neurons=targeted.trained_neuron_count if targeted else neuron_count,
        neuron_count=neuron_count,
        trained_weights=targeted.trained_weight_count if targeted else sum(weight.numel() for weight in trained),
        weight_count=sum(parameter.numel() for parameter in model.parameters()),
        stopped_early=len(records) <= settings.epochs,
    )


class _StageRun:
    """The optimizer, the samples on their device, and how many steps were made."""

    def __init__(
        self,
        model: nn.Module,
        targeted: TargetedModel | TargetedEdges | None,
        peer: Peer,
        data: TrainingData,
        settings: TrainingSettings,
        stage: int,
        device: torch.device,
        random_seed: int,
    ) -> None:
        self.model, self.targeted, self.peer = model, targeted, peer
        self.settings, self.stage = settings, stage
        self.train_inputs, self.train_labels = data.train_inputs.to(device), data.train_labels.to(device)
        self.test_inputs, self.test_labels = data.test_inputs.to(device), data.test_labels.to(device)
        self.order = torch.Generator().manual_seed(random_seed)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = _make_optimizer(list(targeted.parameters()) if targeted else parameters, settings)
        self.step = 0
        self.good_state: dict[str, Tensor] = {}  # at the end of the last epoch
        self.first_loss = math.inf
        self.step_count = settings.epochs * len(_batches(torch.arange(len(data.train_labels)), settings.batch_size))

    def epoch(self, epoch: int) -> EpochRecord:
        started = time.perf_counter()
        learning_rate = self.settings.learning_rate_at(self.step, self.step_count) if epoch else 0.0
        flops = 0
        if epoch:
            self.model.train()
            self.peer.begin_epoch(epoch)
            flops = self._take_steps(epoch)
        seconds = time.perf_counter() - started if epoch else 0.0
        loss, train_accuracy = _evaluate(self.model, self.train_inputs, self.train_labels)
        self._check_finite(loss, epoch, learning_rate)
        _, accuracy = _evaluate(self.model, self.test_inputs, self.test_labels)
        self.good_state = self._state()
        if epoch == 0:
            self.first_loss = loss
        return EpochRecord(epoch, loss, accuracy, train_accuracy, learning_rate, seconds, flops)

    def _take_steps(self, epoch: int) -> int:
        """All steps of an epoch, and their FLOPs by the first of them."""
        first, *others = self._shuffled_batches()
        with counted_flops() as counted:
            self._take_step(first, epoch)
        for batch in others:
            self._take_step(batch, epoch)
        return round(counted.flops * len(self.train_labels) / len(first))

    def _state(self) -> dict[str, Tensor]:
        state = self.targeted.state_dict() if self.targeted else self.model.state_dict()
        return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}

    def _shuffled_batches(self) -> Iterator[Tensor]:
        # Drawn on the CPU, so that every device sees the samples in the same order.
        order = torch.randperm(len(self.train_labels), generator=self.order)
        yield from _batches(order.to(self.train_labels.device), self.settings.batch_size)

    def _take_step(self, batch: Tensor, epoch: int) -> None:
        learning_rate = self.settings.learning_rate_at(self.step, self.step_count)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        watched, loss = self.peer.loss(self.train_inputs[batch], self.train_labels[batch])
        self._check_finite(watched.item(), epoch, learning_rate)
        self.optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
        if self.step == 0:
            self._check_gradients_arrive()
        self.optimizer.step()
        self.peer.after_step(self.optimizer)
        self.step += 1

    def _check_gradients_arrive(self) -> None:
        """A full stage may leave some parameters without a gradient; one of the neurons to train may not be."""
        named = (self.targeted or self.model).named_parameters()
        trained = {name: parameter for name, parameter in named if parameter.requires_grad}
        without = [name for name, parameter in trained.items() if parameter.grad is None]
        if without and (self.targeted is not None or len(without) == len(trained)):
            raise AttrGraphError(
                f"no gradient reaches {without[0]!r}: the network's forward does not call that layer, or detaches it"
            )

    def _check_finite(self, loss: float, epoch: int, learning_rate: float) -> None:
        if math.isfinite(loss) and loss <= EXPLODED * max(self.first_loss, 1.0):
            return
        kept = ""
        if epoch:
            (self.targeted or self.model).load_state_dict(self.good_state)
            kept = f"; the network is back at the end of epoch {epoch - 1}, the last good one"
        raise AttrGraphError(
            f"the loss is {loss:.6g} in stage {self.stage}, epoch {epoch}, after {self.step} of {self.step_count} "
            f"steps, at learning rate {learning_rate:g}: training diverged; lower learning_rate, or check what the "
            f"model returns{kept}"
        )


def _make_optimizer(parameters: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    # Fused kernels for both kinds of stage: an unfused optimizer would flatter targeted training in a comparison.
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay, fused=True)


def _batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """The samples in batches; a last one of a single sample joins the one before (batch normalisation needs two)."""
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1 and batch_size > 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _evaluate(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross entropy and accuracy, in evaluation mode."""
    loss = torch.zeros((), dtype=torch.float64)
    correct = 0
    with evaluation_mode(model), torch.no_grad():
        batches = zip(inputs.split(EVALUATION_BATCH_SIZE), labels.split(EVALUATION_BATCH_SIZE), strict=True)
        for batch, batch_labels in batches:
            scores = model(batch)
            loss += functional.cross_entropy(scores, batch_labels, reduction="sum").double().cpu()
            correct += int((scores.argmax(dim=1) == batch_labels).sum())
    return float(loss) / len(labels), correct / len(labels)


def _check_trains_in_full(model: nn.Module, settings: TrainingSettings) -> None:
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise AttrGraphError("the network has no parameter that trains; a full stage needs some with requires_grad")
    if settings.batch_size == 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise AttrGraphError("batch_size is 1, and batch normalisation needs 2 samples or more; raise batch_size")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
