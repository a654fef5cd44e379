"""Factors that wait for those of more samples before they become edges.

A layer's edges take a product for each sample, and passes over the whole matrix each time that they are made. Few
samples at a time, those of one class in a batch, would pay for the passes again and again: they wait until there are
enough, copied, so that they hold nothing else of their batch.
"""

from collections.abc import Iterator

import torch

from attrgraph_core.attribution.contraction import is_one_product
from attrgraph_core.attribution.structure import Layer
from attrgraph_core.attribution.term import Term

PART = 4  # what waits has at most such a part of the elements that the passes go over, and at most so many:
MOST_ELEMENTS = 1 << 20
PASSES_BY_ELEMENT = 8  # over the products of pixels at all positions, where other layers have about one over the matrix


class WaitingTerms:
    """Of each layer the factors that wait."""

    def __init__(self) -> None:
        self._terms: dict[str, tuple[Layer, bool, list[Term]]] = {}

    def join(self, layer: Layer, terms: tuple[Term, ...], rows_per_sample: int, absolute: bool) -> tuple[Term, ...]:
        """The terms to make edges of now, all that waited among them; none where they wait, too."""
        if len(terms) > 1 or terms[0].weight is not None or not is_one_product(layer, terms, rows_per_sample, absolute):
            return terms
        _, _, waiting = self._terms.setdefault(layer.name, (layer, absolute, []))
        size = sum(term.source.numel() + term.target.numel() for term in (*waiting, *terms))
        if size >= min(MOST_ELEMENTS, _elements_of_passes(layer, terms[0]) / PART):
            del self._terms[layer.name]
            return (_joined([*waiting, *terms]),)
        waiting.append(Term(terms[0].source.clone(), terms[0].target.clone()))
        return ()

    def rest(self) -> Iterator[tuple[Layer, bool, tuple[Term, ...]]]:
        """Each layer with what waits, and whether its absolute values are asked for; nothing waits any more."""
        while self._terms:
            _, (layer, absolute, waiting) = self._terms.popitem()
            yield layer, absolute, (_joined(waiting),)


def _joined(terms: list[Term]) -> Term:
    if len(terms) == 1:
        return terms[0]
    return Term(torch.cat([term.source for term in terms]), torch.cat([term.target for term in terms]))


def _elements_of_passes(layer: Layer, term: Term) -> int:
    weights = term.weight_of(layer).numel()
    return PASSES_BY_ELEMENT * weights * term.target[0, 0].numel() if layer.sources.by_element else weights
