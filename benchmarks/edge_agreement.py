"""How far each method's edge weights agree with exact deletion, and how soon its ranking makes a faithful circuit.

    python benchmarks/edge_agreement.py [--seeds 3]

An MLP 64-64-32-10 on scikit-learn's digits, trained on 1400, the rest held out. A graph of 256 training samples by each
method (baseline: mean input), of the true class's score less the mean score; exact deletion of 128 of its edges, and
the size curve, by zero and by mean ablation on the held-out samples. Medians over seeds, with lowest and highest.
"""

import argparse
import statistics

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core import attribute
from attrgraph_core.attribution.ablation import Kind
from attrgraph_core.attribution.methods import EDGE_METHODS
from attrgraph_core.evidence.agreement import edge_agreement
from attrgraph_core.evidence.circuit_ablation import CircuitAblation
from attrgraph_core.evidence.evidence import ranked_edges
from attrgraph_core.evidence.size_curve import size_curve

KINDS: tuple[Kind, ...] = ("zero", "mean")
FIGURES = ("Pearson", "Spearman", "CPR", "CMD")


def trained(seed: int, inputs: Tensor, labels: Tensor) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    return network


def margin(labels: Tensor) -> Tensor:
    """The true class's score less the mean of all, as weights (samples, classes)."""
    return functional.one_hot(labels, 10).float() - 0.1


def measure(seed: int) -> dict[tuple[str, Kind], tuple[float, ...]]:
    """The figures of each method and kind of ablation."""
    digits, classes = load_digits(return_X_y=True)
    inputs, labels = torch.tensor(digits / 16, dtype=torch.float32), torch.tensor(classes)
    network = trained(seed, inputs[:1400], labels[:1400])
    found = {}
    for kind in KINDS:
        ablation = CircuitAblation(network, inputs[1400:], margin(labels[1400:]), kind=kind)
        for method in EDGE_METHODS:
            mean = inputs[:1400].mean(dim=0, keepdim=True)
            # Two, as some ask for a background of several.
            graph = attribute(network, inputs[:256], margin(labels[:256]), method=method, baseline=mean.repeat(2, 1))
            curve = size_curve(ablation, ranked_edges(graph))
            agreement = edge_agreement(ablation, graph.edges, most=128, seed=seed)
            found[method, kind] = (*agreement, curve.cpr, curve.cmd)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    rounds = [measure(seed) for seed in range(parser.parse_args().seeds)]
    print("| method, ablation | " + " | ".join(FIGURES) + " |\n|---|" + "---|" * len(FIGURES))
    for method, kind in rounds[0]:
        columns = zip(*(own[method, kind] for own in rounds), strict=True)
        cells = [f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in columns]
        print(f"| {method}, {kind} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
