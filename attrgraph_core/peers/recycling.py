"""Training in full, and renewing what does least from epoch to epoch (see `NeuronRecycler`)."""

from types import TracebackType

from torch import nn
from torch.optim import Optimizer

from attrgraph_core.peers.peer import Peer
from attrgraph_core.recycling.neuron_recycler import NeuronRecycler


class Recycling(Peer):
    """After each epoch from the second on a `share` of each hidden layer is renewed, of neurons two epochs old or more.

    The most at once is what `NeuronRecycler` allows under the stage's optimizer.
    """

    def __init__(self, model: nn.Module, share: float, seed: int) -> None:
        super().__init__(model)
        self.share, self.seed = share, seed
        self.recycler: NeuronRecycler | None = None

    def begin_epoch(self, epoch: int) -> None:
        if self.recycler is not None and self.recycler.layers:  # none where the first epoch was a single step
            self.recycler.step()

    def after_step(self, optimizer: Optimizer) -> None:
        if self.recycler is None:  # it counts epochs; the first step alone is not seen
            self.recycler = NeuronRecycler(self.model, optimizer, rate=self.share, every=1, grace=1, seed=self.seed)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.recycler is not None:
            self.recycler.close()
