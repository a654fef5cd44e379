"""A term of a layer's contraction: the factors of its rows, and the weight that joins them."""

from dataclasses import dataclass

from torch import Tensor

from attrgraph_core.attribution.structure import Layer

# Elements of the largest tensor of a chunk: 1 MiB in float32 stays near a processor; a GPU wants much at once.
ELEMENTS_AT_ONCE = 1 << 18
ELEMENTS_AT_ONCE_ON_GPU = 1 << 24


@dataclass(frozen=True, eq=False)
class Term:
    """Factors of a layer for a batch: `source` (rows, ...) as the layer's input, `target` (rows, ...) as its output.

    `weight` takes the place of the layer's own, where a rule changes it. Of several terms at most one has a share in an
    edge of a row, so that absolute values of their sum are sums of absolute values.
    """

    source: Tensor
    target: Tensor
    weight: Tensor | None = None

    def weight_of(self, layer: Layer) -> Tensor:
        """The weight that joins the factors."""
        return layer.weight() if self.weight is None else self.weight


def sums_by_sample(values: Tensor, rows_per_sample: int) -> Tensor:
    """The sums of each sample's rows, (samples, ...)."""
    return values if rows_per_sample == 1 else values.unflatten(0, (-1, rows_per_sample)).sum(dim=1)


def elements_at_once(term: Term) -> int:
    """How many elements the largest tensor of a chunk may have."""
    return ELEMENTS_AT_ONCE if term.source.device.type == "cpu" else ELEMENTS_AT_ONCE_ON_GPU
