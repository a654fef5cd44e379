"""What a way of training may change of a stage: what trains in an epoch, and where gradients come from."""

from types import TracebackType

from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer


class Peer:
    """A way of training `model`, entered for a stage; on leaving, the model is an ordinary one again.

    Of itself it is full training by backpropagation.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def begin_epoch(self, epoch: int) -> None:
        """Called before the first step of each epoch, from 1."""
        return

    def loss(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The mean cross entropy of a batch, which is watched, and the scalar whose gradients train."""
        found = functional.cross_entropy(self.model(inputs), labels)
        return found, found

    def after_step(self, optimizer: Optimizer) -> None:
        """Called after each of the optimizer's steps."""
        return

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Undo what was changed of the model."""
