"""A process that forks a writer for each line on stdin and says how it ended; for tests that kill writers.

A line is `run_id seed kill after`: the writer saves `layered_graph(seed)`; `kill` is `delay` (SIGKILL after so many
seconds, from outside), `write` (SIGKILL from within, as the write of that number is under way) or `none`.
"""

import os
import signal
import sys
import threading
import time

import numpy as np
import pandas as pd

from attrgraph_core.graph.attribution_graph import AttributionGraph

LAYERS, WIDTH = 8, 6


def layered_graph(seed: int) -> AttributionGraph:
    """A graph whose edges take a batch a pair of layers; another seed is another content of the same size."""
    rng = np.random.default_rng(seed)
    names = ["input", *(f"fc{k}" for k in range(1, LAYERS - 1)), "output"]
    kinds = ["input", *["unit"] * (LAYERS - 2), "output"]
    neurons = pd.DataFrame(
        {
            "layer": np.repeat(names, WIDTH).astype(object),
            "index": np.tile(np.arange(WIDTH), LAYERS),
            "kind": np.repeat(kinds, WIDTH).astype(object),
            "attribution": rng.normal(size=LAYERS * WIDTH),
        }
    )
    neurons["abs_attribution"] = neurons["attribution"].abs()
    pairs = [(k, i, j) for k in range(LAYERS - 1) for j in range(WIDTH) for i in range(WIDTH)]
    edges = pd.DataFrame(
        [(names[k], i, names[k + 1], j) for k, i, j in pairs],
        columns=["source_layer", "source_index", "target_layer", "target_index"],
    )
    edges["weight"] = rng.normal(size=len(edges))
    edges["abs_weight"] = edges["weight"].abs()
    return AttributionGraph(neurons, edges, "deeplift", "label", "zeros", 8, 0.25)


def write(run_id: str, seed: int, kill: str, after: str) -> None:
    """Save the graph, and die at the write of a number if that is asked."""
    from attrgraph_core.store import graph_writer
    from attrgraph_core.store.database import Database
    from attrgraph_core.store.graph_store import GraphStore

    graph_writer.DELETE_BATCH = 30
    whole, left = Database.write, int(after) if kill == "write" else -1

    def counted(self, name, **parameters):
        nonlocal left
        if left == 0:  # while the server is at it, or just before or after
            threading.Timer(0.002, os.kill, (os.getpid(), signal.SIGKILL)).start()
        left -= 1
        return whole(self, name, **parameters)

    Database.write = counted
    with GraphStore.open() as store:
        store.save(layered_graph(seed), run_id=run_id, stage=1, epoch=0, edge_mass=1.0)


def main() -> None:
    import attrgraph_core.store.graph_store  # noqa: F401  (imported once, before all forks)

    for line in sys.stdin:
        run_id, seed, kill, after = line.split()
        started = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            try:
                write(run_id, int(seed), kill, after)
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr)
                os._exit(1)
        if kill == "delay":
            time.sleep(float(after))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
