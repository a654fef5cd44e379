"""Ways to mend a fault: removing the edges to blame, and the controls that it must beat.

A remedy has candidates (doses, learning rates), of which validation chooses one. Each changes the model in place.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.surgery.ablate import ablate
from attrgraph_core.surgery.fine_tuning import RATES, FineTuning
from attrgraph_core.surgery.mask_inputs import mask_inputs
from attrgraph_core.surgery.samples import Case, Samples
from attrgraph_core.surgery.weight_entries import EDGE_ENDS, WeightEntries, edge_sizes
from attrgraph_core.surgery.weight_importance import weight_importance

PULLS = (0.01, 0.1)
SHIFTS = (1.0, 2.0, 4.0, 8.0, 16.0)  # of a logit


@dataclass(frozen=True, eq=False)
class Candidate:
    """One dose: `apply(model)` carries it out; what it gives, if anything, is called to take a hook off again."""

    dose: str
    apply: Callable[[nn.Module], Callable[[], None] | None]
    edge_count: int = 0
    layer: str = ""


def geometric_grid(most: int) -> list[int]:
    """1, 2, 4, ... up to `most`, and `most`."""
    return sorted({min(2**power, most) for power in range(most.bit_length() + 1)}) if most else []


def edge_doses(model: nn.Module, case: Case, edges: pd.DataFrame, most: int) -> list[Candidate]:
    """The first k edges of a ranked table into each layer, and of all layers together; k doubles up to `most`."""
    with evaluation_mode(model):
        structure = network_structure(model, case.good.inputs[:1])
    found = []
    for layer in ["", *edges["target_layer"].unique()]:
        own = edges if layer == "" else edges[edges["target_layer"] == layer]
        for count in geometric_grid(min(len(own), most)):
            entries = WeightEntries.of_edges(model, case.good.inputs[:1], own.head(count), structure)
            found.append(Candidate(f"{count} {layer}".strip(), _ablation(entries, case), count, layer))
    return found


def random_edges(edges: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Edges in an order drawn by `seed`."""
    return edges.iloc[np.random.default_rng(seed).permutation(len(edges))]


def magnitude_edges(model: nn.Module, case: Case, edges: pd.DataFrame) -> pd.DataFrame:
    """Edges by the absolute size of their weights, largest first."""
    with evaluation_mode(model):
        structure = network_structure(model, case.good.inputs[:1])
    sized = edges.assign(size=edge_sizes(structure, edges))
    return sized.sort_values(["size", *EDGE_ENDS], ascending=[False] + [True] * 4)


def with_fine_tuning(model: nn.Module, case: Case, edges: pd.DataFrame, steps: int) -> list[Candidate]:
    """Removal of all `edges`, then short fine-tuning of the rest on bad and good samples."""
    entries = WeightEntries.of_edges(model, case.good.inputs[:1], edges)
    both = _both(case)

    def candidate(rate: float) -> Candidate:
        def apply(model: nn.Module) -> None:
            _ablation(entries, case)(model)
            FineTuning(rate, steps, removed=entries).run(model, both)

        return Candidate(f"{len(edges)}, rate {rate:g}", apply, len(edges))

    return [candidate(rate) for rate in RATES]


def fine_tunings(model: nn.Module, case: Case, steps: int) -> Iterator[tuple[str, list[Candidate]]]:
    """Controls that train: on the bad samples, with replay of good ones, held to the old weights, the head alone."""
    with evaluation_mode(model):
        head = network_structure(model, case.good.inputs[:1]).output_layer.name
    heads = frozenset(name for name, _ in model.named_parameters() if name.rpartition(".")[0] == head)
    both = _both(case)

    def tuned(samples: object, **about: object) -> Callable[[float], Candidate]:
        def candidate(rate: float) -> Candidate:
            pull = f", pull {about['pull']:g}" if "pull" in about else ""
            return Candidate(
                f"rate {rate:g}{pull}",
                lambda model: FineTuning(rate, steps, **about).run(model, samples),  # type: ignore[arg-type]
            )

        return candidate

    yield "full fine-tuning", [tuned(case.bad)(rate) for rate in RATES]
    yield "fine-tuning with replay", [tuned(both)(rate) for rate in RATES]
    yield "L2-SP", [tuned(both, pull=pull)(rate) for pull in PULLS for rate in RATES]
    importance = weight_importance(model, case.good)
    yield "EWC", [tuned(both, pull=pull, importance=importance)(rate) for pull in PULLS for rate in RATES]
    yield "head only", [tuned(both, only=heads)(rate) for rate in RATES]


def output_masks(model: nn.Module, case: Case, before: Tensor) -> list[Candidate]:
    """The logit of the class that most bad samples are taken for, lowered."""
    wrong = before[before != case.bad.labels]
    blamed = int(wrong.mode().values)

    def candidate(shift: float) -> Candidate:
        def lower(module: nn.Module, given: object, scores: Tensor) -> Tensor:
            return scores - shift * torch.nn.functional.one_hot(torch.tensor(blamed), scores.shape[1]).to(scores)

        return Candidate(f"class {blamed} by {shift:g}", lambda model: model.register_forward_hook(lower).remove)

    return [candidate(shift) for shift in SHIFTS]


def input_masks(case: Case, inputs: pd.DataFrame) -> list[Candidate]:
    """The first k inputs to blame, at their mean over good samples."""
    mean = case.good.inputs.mean(dim=0)

    def candidate(count: int) -> Candidate:
        neurons = inputs["index"].head(count).tolist()
        return Candidate(f"{count} inputs", lambda model: mask_inputs(model, neurons, mean).remove)

    return [candidate(count) for count in geometric_grid(int((inputs["blame"] > 0).sum()))]


def _ablation(entries: WeightEntries, case: Case) -> Callable[[nn.Module], None]:
    def apply(model: nn.Module) -> None:
        ablate(model, entries, case.good.inputs)

    return apply


def _both(case: Case) -> Samples:
    """Bad and good samples, the fewer repeated so that they are about as many."""
    bad, good = len(case.bad.labels), len(case.good.labels)
    few, many = (case.bad, case.good) if bad < good else (case.good, case.bad)
    rows = torch.arange(len(many.labels)) % len(few.labels)
    return few.at(rows).and_(many)
