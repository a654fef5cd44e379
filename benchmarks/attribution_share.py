"""What the graphs of an epoch cost beside the epoch itself: attribution, sparsifying, and writing into Neo4j.

    python benchmarks/attribution_share.py [--rounds 3]

For networks of growing size on as many samples as an epoch has, with the pipeline's own settings (256 attribution
samples, graphs of ten classes and of the true class). Training, attribution and writing alternate within a round, so
that a busy machine slows all of them; prints medians and the spread over rounds. The server is that of NEO4J_URI, or
the embedded one.
"""

import argparse
import itertools
import statistics
import time
import uuid

import torch

from attrgraph_core.attribution.attribute import attribute_dataset
from attrgraph_core.graph.sparsify import sparsify
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.training.data import TrainingData
from attrgraph_core.training.models import build_model
from attrgraph_core.training.stage import TrainingSettings, train_stage

SAMPLES = 256
CASES = {
    "MLP 64-128-64, 1437 samples": ("mlp", {"hidden": [128, 64]}, (64,), 1437),
    "CNN 16-32 on 8x8, 1437 samples": ("small_cnn", {"channels": [16, 32], "hidden": 64}, (1, 8, 8), 1437),
    "MLP 784-1024-1024, 20000 samples": ("mlp", {"hidden": [1024, 1024]}, (784,), 20_000),
    "CNN 32-64 on 28x28, 5000 samples": ("small_cnn", {"channels": [32, 64], "hidden": 64}, (1, 28, 28), 5_000),
}


def make_data(shape: tuple[int, ...], count: int) -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, *shape, generator=generator)
    labels = torch.arange(count) % 10
    return TrainingData(inputs, labels, inputs[:100], labels[:100], "made up", 10, shape, "made up")


def measure(name: str, rounds: int, store: GraphStore) -> None:
    factory, arguments, shape, count = CASES[name]
    data = make_data(shape, count)
    model = build_model(factory, arguments, data, seed=0)
    run_id = f"benchmark-{uuid.uuid4().hex}"
    batch = [(data.train_inputs[:SAMPLES], data.train_labels[:SAMPLES])]
    seconds: dict[str, list[float]] = {"epoch": [], "attribution": [], "sparsifying": [], "saving": []}
    edges = 0
    for round_number in range(rounds + 1):  # the first warms up
        result = train_stage(model, data, TrainingSettings(1, 1e-3), seed=0, stage=1)
        times = [time.perf_counter()]
        graphs = attribute_dataset(model, batch, "all")
        times.append(time.perf_counter())
        sparse = [sparsify(graph, 0.9, 32) for graph in graphs.values()]
        times.append(time.perf_counter())
        for graph in graphs.values():
            store.save(graph, run_id=run_id, stage=1, epoch=round_number, edge_mass=0.9, max_edges_per_neuron=32)
        times.append(time.perf_counter())
        edges = sum(len(one.graph.edges) for one in sparse)
        if round_number:
            seconds["epoch"].append(result.epochs[-1].seconds)
            for part, (start, end) in zip(list(seconds)[1:], itertools.pairwise(times), strict=True):
                seconds[part].append(end - start)
    store.delete_run(run_id)
    median = {part: statistics.median(values) for part, values in seconds.items()}
    print(f"\n{name}: {edges} edges kept of {len(graphs)} graphs")
    for part, values in seconds.items():
        share = median[part] / median["epoch"]
        spread = f"rounds {min(values):.3f} to {max(values):.3f}"
        print(f"  {part:12} {median[part]:8.3f} s  {share:7.2f} of an epoch  ({spread})")
    print(f"  {edges / median['saving']:.0f} edges saved a second, sparsifying included")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with GraphStore.open() as store:
        for name in CASES:
            measure(name, rounds, store)


if __name__ == "__main__":
    main()
