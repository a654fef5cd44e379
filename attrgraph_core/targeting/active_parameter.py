"""The rows of one parameter that train.

The rows live in a contiguous tensor of their own, cut into one leaf or a few; the leaves are what an optimizer gets.
After each of its steps they are copied into the layer's parameter, in place, so that whoever reads the parameter finds
what was trained and in the ordinary order. Where all rows train the leaf is the parameter itself.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SHORT_ROW = 64  # numbers; below, one call for all rows is quicker than a copy a row


class ActiveParameter:
    """Rows of `parameter` (along dimension `dim`), maybe only some `columns` of them.

    `rows` None means all. `sizes` are the numbers of rows of each leaf, in the order of `rows`.
    """

    def __init__(
        self,
        parameter: nn.Parameter,
        rows: Tensor | None,
        sizes: Sequence[int],
        columns: Tensor | None = None,
        dim: int = 0,
    ) -> None:
        self.parameter, self.rows, self.columns, self.dim = parameter, rows, columns, dim
        self.updates = 0
        self.parts = 1  # blocks of rows, each with some rows of every neuron
        self._row_views: tuple[int, list[Tensor], list[Tensor]] | None = None
        if rows is None:
            self.values = parameter.detach()
            self.leaves = [parameter]
        else:
            self.values = self._read()
            self.leaves = [nn.Parameter(part) for part in self.values.split(list(sizes))]
        self._versions = self._current_versions()

    def write_back(self) -> None:
        """Copy the leaves into the parameter."""
        self.updates += 1
        self._versions = self._current_versions()
        if self.rows is None:
            return
        with torch.no_grad():
            target = self.parameter.detach()
            if self.columns is not None:
                target[self.rows.unsqueeze(1), self.columns] = self.values
            elif self.dim == 1:
                target.index_copy_(1, self.rows, self.values.t())
            elif target.is_cuda or self.values.dim() == 1 or self.values[0].numel() < SHORT_ROW:
                target.index_copy_(0, self.rows, self.values)
            else:
                torch._foreach_copy_(*self._views(target))

    def write_back_if_changed(self) -> None:
        """For a hand-written update between two passes; an optimizer's step is followed by `write_back`."""
        if self._versions != self._current_versions():
            self.write_back()

    def read_again(self) -> None:
        """Bring the leaves up to the parameter, which was loaded or written to."""
        if self.rows is not None:
            with torch.no_grad():
                self.values.copy_(self._read())
        self.updates += 1
        self._versions = self._current_versions()

    def by_neuron(self, tensor: Tensor, count: int) -> Tensor:
        """What belongs to each of the `count` neurons of a tensor shaped like a leaf, as (count, numbers)."""
        if self.dim == 1 and self.rows is None:
            return tensor.t().contiguous()
        return tensor.reshape(self.parts, count, -1).transpose(0, 1).reshape(count, -1)

    def from_neurons(self, table: Tensor, like: Tensor) -> Tensor:
        """The inverse of `by_neuron`: a tensor shaped as the leaf `like`."""
        if self.dim == 1 and self.rows is None:
            return table.t().contiguous()
        return table.reshape(len(table), self.parts, -1).transpose(0, 1).reshape(like.shape).contiguous()

    def _read(self) -> Tensor:
        assert self.rows is not None
        source = self.parameter.detach()
        if self.dim == 1:  # kept with a neuron a row
            return source.index_select(1, self.rows).t().contiguous()
        values = source.index_select(0, self.rows)
        return values if self.columns is None else values.index_select(1, self.columns)

    def _current_versions(self) -> list[int]:
        return [leaf._version for leaf in self.leaves]

    def _views(self, target: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        # A copy a row moves whole rows at memory speed; index_copy_ goes number by number on a CPU.
        assert self.rows is not None
        if self._row_views is None or self._row_views[0] != target.data_ptr():
            every = target.unbind(0)
            chosen = [every[row] for row in self.rows.tolist()]
            self._row_views = (target.data_ptr(), chosen, list(self.values.unbind(0)))
        return self._row_views[1], self._row_views[2]
