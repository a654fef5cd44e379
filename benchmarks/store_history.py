"""Whether history slows queries: each one on one snapshot, in a store of few snapshots and in one of many.

    python benchmarks/store_history.py [--snapshots 200] [--edges 20000] [--rounds 9] [--only QUERY ...]
        [--plot FILE.png]

Two embedded servers of their own, side by side, and every query asked of one and then of the other, so that a busy
machine slows both. The small store has two snapshots, one of each of two stages, which some queries compare; the large
one has `--snapshots` more in the first stage. How much queries grow that go through time is not judged.

Four queries are not asked. `blamed_inputs`, `failure_edges` and `run_against_run` compare a graph with another one that
somebody names, whatever else is stored: their db hits are bounded by those two (tests/cypher/plan_bounds.py).
`seed_agreement` compares the runs of an experiment whose neurons are matched, and these stores have one run.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from store import make_graph, server_of_its_own

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.graph.sparsify import SparseGraph, sparsify
from attrgraph_core.store.graph_store import GraphStore
from attrgraph_core.store.graph_writer import write_graph
from attrgraph_core.store.provenance import write_snapshot
from attrgraph_core.store.queries import load_query, query_names
from attrgraph_core.targeting.neuron_set import NeuronSet

RUN = "history"
GRAPH = f"{RUN}/stage_2/epoch_1/deeplift/label"


def fill(store: GraphStore, sparse: SparseGraph, snapshot_count: int) -> None:
    """A run of `snapshot_count` snapshots of stage 1, then one of stage 2 with a circuit and a neuron set."""
    store.save_run(RUN, RUN, seed=0, config_hash="c", code_version="v")
    for stage, epochs in ((1, snapshot_count), (2, 1)):
        for epoch in range(1, epochs + 1):
            snapshot_id = write_snapshot(store._database, RUN, stage, epoch, 0.5, 0.5)
            graph_id = f"{snapshot_id}/deeplift/label"
            write_graph(store._database, sparse, graph_id=graph_id, snapshot_id=snapshot_id, origin={"run_id": RUN})
            if epoch % 20 == 0:
                print(f"stage {stage}: {epoch} snapshots", flush=True)
    table = store.query("top_influential_neurons", graph_id=GRAPH, top_k=32)
    circuit_id = store.save_circuit(GRAPH, "top_influential_neurons", {"top_k": 32}, table)
    chosen = NeuronSet({"fc1": tuple(range(16))}, "top_influence", 0.15)
    store.save_training(RUN, 2, store.save_neuron_set([circuit_id], chosen, run_id=RUN))


def known_parameters(store: GraphStore) -> dict[str, Any]:
    chosen = store.query("choosing_query", stage_id=f"{RUN}/stage_2").iloc[0]
    return {
        "graph_id": GRAPH, "run_id": RUN, "stage_id": f"{RUN}/stage_2", "layer": "fc1", "index": 0,
        "neuron_set_id": chosen["neuron_set_id"], "circuit_id": chosen["circuit_id"],
    }  # fmt: skip


def question(store: GraphStore, name: str, known: dict[str, Any]) -> Callable[[], float] | None:
    """What asks a query and gives the seconds, or None where this store cannot answer it."""
    query = load_query(name)
    needed = [parameter for parameter, about in query.params.items() if about.is_required]
    if not set(needed) <= set(known):
        return None

    def ask() -> float:
        started = time.perf_counter()
        store.query(name, **{parameter: known[parameter] for parameter in needed})
        return time.perf_counter() - started

    try:
        ask()
    except AttrGraphError:
        return None
    return ask


def warm_up(ask: Callable[[], float] | None) -> None:
    """Ask unmeasured, twenty times or for five seconds."""
    if ask is not None:
        spent = 0.0
        for _ in range(20):
            spent += ask()
            if spent > 5.0:
                return


def goes_through_time(name: str) -> bool:
    """A query of a run, and not of one snapshot, stage or set of it, has more to answer the longer the run is."""
    return {"graph_id", "stage_id", "neuron_set_id"}.isdisjoint(load_query(name).params)


def measure(small: GraphStore, large: GraphStore, names: list[str], round_count: int) -> pd.DataFrame:
    """Median, lowest and highest milliseconds of every query in both stores, and the growth from round to round."""
    rows = []
    for name in names:
        asked = [question(store, name, known_parameters(store)) for store in (small, large)]
        if None in asked:
            print(f"{name}: not asked, it needs other parameters", flush=True)
            continue
        for ask in asked:  # a server that has answered little is slower, whatever it holds
            warm_up(ask)
        seconds = np.array([[ask() for ask in asked if ask is not None] for _ in range(round_count)]) * 1e3
        medians = np.median(seconds, axis=0)
        rows.append(
            {
                "query": name, "through time": goes_through_time(name), "few": medians[0], "many": medians[1],
                "lowest": seconds[:, 1].min(), "highest": seconds[:, 1].max(), "growth": medians[1] / medians[0],
            }
        )  # fmt: skip
        print(pd.DataFrame(rows[-1:]).to_string(header=len(rows) == 1, index=False), flush=True)
    return pd.DataFrame(rows)


def plot(table: pd.DataFrame, snapshot_count: int, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = table[~table["through time"]].sort_values("many")
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.3 * len(shown)))
    places = np.arange(len(shown))
    axes.plot(shown["few"], places, "o", label="2 snapshots stored", color="#4c72b0")
    axes.plot(shown["many"], places, "x", label=f"{snapshot_count + 1} snapshots stored", color="#c44e52")
    labels = [f"{query}  ×{growth:.2f}" for query, growth in zip(shown["query"], shown["growth"], strict=True)]
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds on one snapshot, median")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshots", type=int, default=200)
    parser.add_argument("--edges", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=query_names(), metavar="QUERY", help="by default all")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    sparse = sparsify(make_graph(arguments.edges), edge_mass=1.0)
    print(f"{len(sparse.graph.edges)} edges, {len(sparse.graph.neurons)} neurons a snapshot", flush=True)
    with ExitStack() as stack:
        stores = []
        for snapshot_count in (1, arguments.snapshots):
            _, connection = stack.enter_context(server_of_its_own())
            stores.append(stack.enter_context(GraphStore.open(connection)))
            fill(stores[-1], sparse, snapshot_count)
        table = measure(*stores, arguments.only or list(query_names()), arguments.rounds)
    if arguments.plot:
        plot(table, arguments.snapshots, arguments.plot)
    slowed = table[~table["through time"] & (table["growth"] > 1.2)]
    print(f"{len(slowed)} queries on one snapshot grow by more than 1.2: {', '.join(slowed['query'])}")


if __name__ == "__main__":
    main()
