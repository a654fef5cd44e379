"""Counting the FLOPs that are really computed: of every matrix product, convolution and attention, as they run.

PyTorch's own formulas (`torch.utils.flop_counter`), two FLOPs a multiplication. Its `FlopCounterMode` also hangs hooks
on modules and on the gradients between them, and would make targeted training compute input gradients that nobody
needs; this one looks at the operations alone. What is no product (activations, the optimizer's step) is not counted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopCount(TorchDispatchMode):
    """Inside, adds up `flops`."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=result))
        return result


@contextmanager
def counted_flops() -> Iterator[FlopCount]:
    """The FLOPs of what runs inside: `with counted_flops() as counted: ...; counted.flops`."""
    with FlopCount() as count:
        yield count
