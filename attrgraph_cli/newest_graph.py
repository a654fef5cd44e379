"""The graph that is meant where none is named."""

import sys
from typing import TYPE_CHECKING

from attrgraph_core.errors import AttrGraphError

if TYPE_CHECKING:
    from attrgraph_core.store.graph_store import GraphStore

IDS = ("graph_id", "stage_id", "run_id")  # parameters that mean the newest graph's where they are left out
LATEST = "latest"  # what may be written in their place


def newest_graph(store: "GraphStore", run: str | None = None, target: str | None = None) -> dict[str, str]:
    """The ids of the newest graph, of a run (an id, a name, or the beginning of an id) and a target, or of any.

    Says on stderr where it is one that was imported. Raises AttrGraphError where there is none.
    """
    run_id = None if run is None else store.find_run(run)
    found = store.query("latest_graph", run_id=run_id, target=target)
    if found.empty:
        wanted = "".join(f" of {what}" for what in (run and f"run {run_id}", target and f"target {target}") if what)
        if wanted:
            raise AttrGraphError(f"the store holds no graph{wanted}; attrgraph query epoch_graphs shows what it holds")
        raise AttrGraphError("the store holds no graphs yet; `attrgraph run experiments/digits.yaml` makes some")
    row = found.iloc[0]
    if row["imported_from"]:
        print(f"no other graph is there than imported ones; this one is from {row['imported_from']}", file=sys.stderr)
    return {key: str(row[key]) for key in IDS}
