"""How fast a graph comes into Neo4j and back, beside the ways that people write, on one embedded server of its own.

    python benchmarks/store.py [--edges 1000000] [--rounds 3] [--peer-edges 250000]

Writing, whole graphs with their neurons: `ours` is `write_graph`; the peers have the plain driver, without its Rust
part, in a process of their own: rows merged (MERGE node, MERGE node, MERGE edge), and rows matched and created. They
write the first `--peer-edges` of the edges, which flatters them: fewer edges are at each neuron.
The ways alternate within a round, so that a busy machine slows all of them. The limit is Neo4j's offline importer. Then
reading back, two transactions at once beside one after the other, and the memory that a writer takes at one and at four
times the graph. Prints medians with the lowest and highest, by the clock and by the processors' time of client and
server together, which a busy machine disturbs less.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if "--peer" in sys.argv:
    sys.modules["neo4j._rust"] = None  # type: ignore[assignment]  # the driver then packs in Python

import neo4j
import numpy as np
import pandas as pd
import psutil

MERGED_ROWS = """
UNWIND $rows AS row
MERGE (source:NeuronState {graph_id: $graph_id, layer: row.source_layer, index: row.source_index})
MERGE (target:NeuronState {graph_id: $graph_id, layer: row.target_layer, index: row.target_index})
MERGE (source)-[edge:INFLUENCES]->(target)
SET edge.weight = row.weight, edge.abs_weight = row.abs_weight
"""
CREATED_NODES = """
UNWIND $rows AS row
CREATE (:NeuronState {graph_id: $graph_id, layer: row.layer, index: row.index, kind: row.kind,
  attribution: row.attribution, abs_attribution: row.abs_attribution})
"""
MATCHED_ROWS = """
UNWIND $rows AS row
MATCH (source:NeuronState {graph_id: $graph_id, layer: row.source_layer, index: row.source_index})
MATCH (target:NeuronState {graph_id: $graph_id, layer: row.target_layer, index: row.target_index})
CREATE (source)-[:INFLUENCES {weight: row.weight, abs_weight: row.abs_weight}]->(target)
"""
PEERS = {"merge": (MERGED_ROWS, 5_000), "match, create": (MATCHED_ROWS, 10_000)}
LAYERS = 4


def make_graph(edge_count: int) -> Any:
    """Layers of equal width, each neuron with 64 edges into it, `edge_count` in all."""
    from attrgraph_core.graph.attribution_graph import AttributionGraph

    width = max(64, edge_count // (64 * (LAYERS - 1)))
    generator = np.random.default_rng(0)
    names = ["input", *(f"fc{layer}" for layer in range(1, LAYERS))]
    kinds = ["input", *["unit"] * (LAYERS - 2), "output"]
    neurons = pd.concat(
        pd.DataFrame({"layer": name, "index": np.arange(width), "kind": kind, "attribution": 0.5})
        for name, kind in zip(names, kinds, strict=True)
    ).assign(abs_attribution=1.0)
    tables = []
    for source, target in itertools.pairwise(names):
        sources = np.concatenate([generator.choice(width, 64, replace=False) for _ in range(width)])
        weights = generator.normal(size=width * 64)
        ends = {"source_layer": source, "source_index": sources, "target_layer": target}
        values = {"target_index": np.repeat(np.arange(width), 64), "weight": weights, "abs_weight": abs(weights)}
        tables.append(pd.DataFrame({**ends, **values}))
    return AttributionGraph(neurons, pd.concat(tables), "deeplift", "label", "zeros", 1, 0.0)


@dataclass(frozen=True)
class Cost:
    """Seconds of one piece of work: by the clock, and of processors, client and server together."""

    clock: float
    processors: float


class Meter:
    """What work on one server costs."""

    def __init__(self, server_pid: int):
        self._server = psutil.Process(server_pid)

    def _spent(self) -> float:
        own, server = os.times(), self._server.cpu_times()
        return own.user + own.system + own.children_user + own.children_system + server.user + server.system

    def of(self, work: Callable[[], Any]) -> Cost:
        spent, started = self._spent(), time.perf_counter()
        work()
        return Cost(time.perf_counter() - started, self._spent() - spent)

    def of_peer(self, way: str, folder: Path, connection: Any, graph_id: str) -> Cost:
        """Of a peer, without the start of its process."""
        command = [sys.executable, __file__, "--peer", way, str(folder), connection.uri, graph_id]
        environment = {**os.environ, "PEER_PASSWORD": connection.password}
        before = self._server.cpu_times()
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        after = self._server.cpu_times()
        clock, own = map(float, said.split())
        return Cost(clock, own + after.user + after.system - before.user - before.system)


def write_as_peer(way: str, folder: Path, uri: str, graph_id: str) -> None:
    """Write the graph of two Parquet files as people do; prints the seconds by the clock and of this process."""
    neurons, edges = (pd.read_parquet(folder / f"{name}.parquet") for name in ("neurons", "edges"))
    text, batch_size = PEERS[way]
    assert neo4j._codec.packstream.v1._rust_pack is None
    with neo4j.GraphDatabase.driver(uri, auth=("neo4j", os.environ["PEER_PASSWORD"])) as driver:
        started, spent = time.perf_counter(), time.process_time()
        steps = [(text, edges, batch_size)]
        if way != "merge":
            steps.insert(0, (CREATED_NODES, neurons, 10_000))
        for statement, table, size in steps:
            for start in range(0, len(table), size):
                rows = table.iloc[start : start + size].to_dict("records")
                driver.execute_query(statement, graph_id=graph_id, rows=rows)
        print(time.perf_counter() - started, time.process_time() - spent)


def write_ours(store: Any, sparse: Any, name: str) -> None:
    """Write a graph whole, for a reader to see."""
    from attrgraph_core.store.graph_writer import write_graph
    from attrgraph_core.store.provenance import write_snapshot

    snapshot_id = write_snapshot(store._database, name, 1, 0, None, None)
    write_graph(
        store._database, sparse, graph_id=f"{snapshot_id}/graph", snapshot_id=snapshot_id, origin={"run_id": name}
    )


def states_without_edges(store: Any, sparse: Any) -> dict[str, str]:
    """A graph that has its states and is being written: parameters of query `write_edges`."""
    from attrgraph_core.store.batches import state_batches
    from attrgraph_core.store.provenance import write_snapshot

    name = uuid.uuid4().hex[:8]
    graph = {"graph_id": name, "writer": name}
    snapshot_id = write_snapshot(store._database, name, 1, 0, None, None)
    store._database.write("begin_graph", snapshot_id=snapshot_id, properties={}, **graph)
    for batch in state_batches(sparse.graph.neurons):
        store._database.write("write_states", lane=0, run_id=name, **graph, **batch)
    return graph


def write_edges(store: Any, sparse: Any, graph: dict[str, str], lane_count: int) -> None:
    """Write the edges between states that are there, by one transaction at a time or by one in each of two lanes."""
    from attrgraph_core.store.batches import edge_batches

    batches = list(edge_batches(sparse))

    def write(lane: int) -> None:
        for batch in batches[lane::lane_count]:
            store._database.write("write_edges", lane=lane, **graph, **batch)

    with ThreadPoolExecutor(lane_count) as pool:
        list(pool.map(write, range(lane_count)))


def memory_of_writing(edge_count: int, connection: Any) -> tuple[float, float]:
    """MiB of the graph's tables, and MiB that the process grows by while it writes them, at most."""
    from attrgraph_core.graph.sparsify import sparsify
    from attrgraph_core.store.graph_store import GraphStore

    with GraphStore.open(connection) as store:
        write_ours(store, sparsify(make_graph(10_000), edge_mass=1.0), f"warm-{uuid.uuid4().hex[:8]}")
        sparse = sparsify(make_graph(edge_count), edge_mass=1.0)
        process, peak, done = psutil.Process(), [0], threading.Event()
        before = process.memory_info().rss

        def watch() -> None:
            while not done.wait(0.005):
                peak[0] = max(peak[0], process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        write_ours(store, sparse, f"memory-{uuid.uuid4().hex[:8]}")
        done.set()
        watcher.join()
    tables = sum(table.memory_usage(deep=True).sum() for table in (sparse.graph.neurons, sparse.graph.edges))
    return tables / 2**20, (peak[0] - before) / 2**20


def run_memory(edge_count: int, connection: Any) -> tuple[float, float]:
    command = [sys.executable, __file__, "--memory", str(edge_count), connection.uri]
    environment = {**os.environ, "PEER_PASSWORD": connection.password}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    tables, growth = map(float, said.split())
    return tables, growth


@contextmanager
def server_of_its_own() -> Iterator[tuple[Any, Any]]:
    from rich.console import Console

    from attrgraph_core.store.embedded.server import EmbeddedServer

    with tempfile.TemporaryDirectory() as home:
        server = EmbeddedServer(Path(home))
        try:
            yield server, server.start(Console(stderr=True))
        finally:
            server.stop(force=True)


def show(costs: dict[str, list[Cost]], edge_count: int) -> None:
    """Print what each way costs, and how often ours goes into it."""
    ours = [np.median([getattr(cost, kind) for cost in costs["ours"]]) for kind in ("clock", "processors")]
    print(f"{'':32} thousand edges/s by the clock   processors, us/edge    ours is faster: clock, processors")
    for name, found in costs.items():
        speeds = edge_count / np.array([cost.clock for cost in found]) / 1e3
        processors = np.array([cost.processors for cost in found])
        times = np.median([cost.clock for cost in found]) / ours[0], np.median(processors) / ours[1]
        each = processors / edge_count * 1e6
        print(
            f"{name:32} {np.median(speeds):7.1f} ({speeds.min():.1f} to {speeds.max():.1f})"
            f"   {np.median(each):7.1f} ({each.min():.1f} to {each.max():.1f})   {times[0]:6.2f} {times[1]:6.2f}",
            flush=True,
        )


def measure(edge_count: int, round_count: int, peer_edges: int) -> None:
    from attrgraph_core.graph.sparsify import sparsify
    from attrgraph_core.store.graph_store import GraphStore

    graph = make_graph(edge_count)
    sparse = sparsify(graph, edge_mass=1.0)
    count = len(sparse.graph.edges)
    print(f"{count} edges, {len(graph.neurons)} neurons", flush=True)
    costs: dict[str, list[Cost]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as name,
        server_of_its_own() as (server, connection),
        GraphStore.open(connection) as store,
    ):
        folder, meter = Path(name), Meter(server.running().pid)
        sparse.graph.neurons.to_parquet(folder / "neurons.parquet")
        sparse.graph.edges.head(peer_edges).to_parquet(folder / "edges.parquet")
        warm = sparsify(make_graph(200_000), edge_mass=1.0)  # a server that has written little compiles while it writes
        for number in range(2):
            write_ours(store, warm, f"warm-{number}")
        for number in range(round_count):
            one_round(store, sparse, number, folder, meter, costs, scale=count / min(count, peer_edges))
            show(costs, count)
        archive, staging = folder / "archive", folder / "staging"
        costs["export"].append(meter.of(lambda: store.export_runs(archive, ["round-0"])))
        staging.mkdir()
        costs["offline importer"].append(meter.of(lambda: offline_files(server, archive, staging)))
        show(costs, count)
        for factor in (1, 4):
            edges = factor * edge_count // 4
            tables, growth = run_memory(edges, connection)
            print(f"{edges} edges: tables {tables:.0f} MiB, writing adds {growth:.0f} MiB", flush=True)


def offline_files(server: Any, archive: Path, staging: Path) -> None:
    from attrgraph_core.store.archive.offline import _make_store

    _make_store(server, archive, staging, lambda *_: None)


def one_round(
    store: Any, sparse: Any, number: int, folder: Path, meter: Meter, costs: dict[str, list[Cost]], scale: float
) -> None:
    """Every way once; what a peer costs is scaled from its part of the edges to all."""
    run_id, count = f"round-{number}", len(sparse.graph.edges)
    costs["ours"].append(meter.of(lambda: write_ours(store, sparse, run_id)))
    for way in PEERS:
        cost = meter.of_peer(way, folder, store.connection, f"peer-{way}-{number}")
        costs[way].append(Cost(cost.clock * scale, cost.processors * scale))
    for lane_count, way in ((1, "edges alone, one transaction"), (2, "edges alone, two at once")):
        graph = states_without_edges(store, sparse)
        costs[way].append(meter.of(lambda g=graph, n=lane_count: write_edges(store, sparse, g, n)))
    graph_id = f"{run_id}/stage_1/epoch_0/graph"
    costs["read: GraphStore.graph"].append(meter.of(lambda: store.graph(graph_id)))
    costs["read: a row an edge"].append(meter.of(lambda: store.query("graph_edges", graph_id=graph_id)))
    assert len(store.graph(graph_id).edges) == count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-edges", type=int, default=250_000)
    parser.add_argument("--peer", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        way, folder, uri, graph_id = arguments.peer
        write_as_peer(way, Path(folder), uri, graph_id)
    elif arguments.memory:
        from attrgraph_core.store.connection import Connection

        edge_count, uri = arguments.memory
        connection = Connection(uri, "neo4j", os.environ["PEER_PASSWORD"], "benchmark")
        print(*memory_of_writing(int(edge_count), connection))
    else:
        measure(arguments.edges, arguments.rounds, arguments.peer_edges)


if __name__ == "__main__":
    main()
